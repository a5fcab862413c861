"""Customer service: a thread per customer, orders looked up, a person when needed.

Each customer has a thread with a key, and a context that every answer knows. The bot
sees the orders of the customer it talks to, and nobody else's. No program executes
`hand_over`: the run waits in the database until a colleague answers, here after the
program was started again (a second engine on the same file).

    python examples/customer_service.py
    python examples/customer_service.py --model openai:gpt-4o
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from model_option import open_engine

from langchain_assistants import AssistantRunnable, AssistantsEngine
from langchain_assistants.errors import ActiveRunError
from langchain_assistants.testing import Reply, call

INSTRUCTIONS = (
    "You serve the customers of a bookshop. Look orders up with order_status. Whatever "
    "you cannot or must not decide, such as refunds, you hand over to a colleague."
)
CUSTOMERS = {"ada": {"name": "Ada", "plan": "gold"}, "grace": {"name": "Grace"}}
ORDERS = {"ada": {"A1": "here tomorrow"}, "grace": {"G7": "delivered on Monday"}}
A_DAY = 24 * 60 * 60


def welcome(messages: list[Any], asked: Any) -> str:
    """Answer with what the context tells of the customer."""
    plan = "gold" if "gold" in messages[0].text else "unknown"
    return f"You are welcome, Ada, as always with your plan, {plan}."


LOOK_UP = Reply(tool_calls=[call("order_status", {"order": "A1"})])
TODAY = [
    LOOK_UP,
    "Your order A1 will be there tomorrow, Ada.",
    LOOK_UP,
    "You have no order A1, Grace. Is it another one?",
    welcome,
    Reply(tool_calls=[call("hand_over", {"reason": "G7 is damaged: refund?"})]),
]
TOMORROW = [
    "A colleague looked at it, Grace: you get your money back.",
    "Yesterday you asked for order A1, Ada.",
]


def hand_over(reason: str) -> str:
    """Ask a colleague, a person, what to answer."""
    raise NotImplementedError("this only describes what a person does")


def bot_for(customer: str, engine: AssistantsEngine, model: str) -> AssistantRunnable:
    """Return the shop's one assistant, with a look at this customer's orders."""

    def order_status(order: str) -> str:
        """Look up where an order of the customer is."""
        return ORDERS[customer].get(order, f"The customer has no order {order}.")

    return AssistantRunnable.get_or_create_assistant(
        "Bookshop",
        INSTRUCTIONS,
        [order_status, hand_over],
        model,
        engine=engine,
        run_tools=[order_status],
        as_message=True,
    )


def say(bot: AssistantRunnable, customer: str, text: str) -> None:
    """Let a customer say something, and print what comes of it."""
    print(f"{customer:>9}: {text}")
    given = {
        "content": text,
        "thread_key": f"customer:{customer}",
        "context": CUSTOMERS[customer],
        "expires_after": A_DAY,
    }
    try:
        answer = bot.invoke(given)
    except ActiveRunError:
        print("      bot: (a colleague is looking into it)")
        return
    for made in answer.tool_calls:
        print("     desk:", made["name"], made["args"])
    if answer.text:
        print("      bot:", answer.text)


def decide(bot: AssistantRunnable, customer: str, text: str) -> None:
    """Answer, as a colleague, whatever waits on a customer's thread."""
    engine: AssistantsEngine = bot.engine
    thread = engine.threads.get_or_create(key=f"customer:{customer}")
    for run in engine.runs.list(thread.id):
        if run.status == "requires_action":
            print("colleague:", text)
            calls = run.required_action.submit_tool_outputs.tool_calls
            outputs = [{"tool_call_id": made.id, "output": text} for made in calls]
            answer = bot.invoke({"run_id": run.id, "tool_outputs": outputs})
            print("      bot:", answer.text)


def main() -> None:
    """Serve two customers in turns, today and, after a restart, tomorrow."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'bookshop.db'}"

        engine, model, _ = open_engine(__doc__ or "", TODAY, url)
        with engine:
            ada, grace = (bot_for(customer, engine, model) for customer in CUSTOMERS)
            assert ada.assistant_id == grace.assistant_id
            say(ada, "ada", "Where is my order A1?")
            say(grace, "grace", "Where is my order A1?")
            say(ada, "ada", "Thank you!")
            say(grace, "grace", "It is G7, it came damaged. I want my money back.")
            say(grace, "grace", "Hello?")

        print("\n--- the next day, the program is started again ---")
        engine, model, scripted = open_engine(__doc__ or "", TOMORROW, url)
        with engine:
            ada, grace = (bot_for(customer, engine, model) for customer in CUSTOMERS)
            decide(grace, "grace", "She gets her money back.")
            say(ada, "ada", "What did I ask yesterday?")

            said = {}
            for customer, context in CUSTOMERS.items():
                thread = engine.threads.get_or_create(key=f"customer:{customer}")
                assert thread.context == context
                messages = engine.messages.list(thread.id, order="asc")
                said[customer] = [message.text for message in messages]
            if scripted:
                assert "your plan, gold" in said["ada"][3]
                assert said["ada"][1::4] == [TODAY[1], TOMORROW[1]]
                assert said["grace"][1::2] == [TODAY[3], TOMORROW[0]]


if __name__ == "__main__":
    main()
