"""In LCEL chains: `prompt | assistant | parser`, in parallel, with structured output.

`as_message=True` makes an assistant stand where a chat model does: its input is a
prompt, its output one message. What a chat model has not: each answer is in a thread
that can be read again. With a pydantic class as `response_format` the message carries
the parsed object.

    python examples/lcel_chain.py
    python examples/lcel_chain.py --model openai:gpt-4o
"""

from __future__ import annotations

from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel, RunnablePassthrough
from model_option import open_engine
from pydantic import BaseModel, Field

from langchain_assistants import AssistantRunnable
from langchain_assistants.testing import Reply, call

MAIL = "My order A1 came damaged. I would like another one. Ada"


class Ticket(BaseModel):
    """What a mail is about."""

    order: str = Field(description="The order's number.")
    wish: Literal["replacement", "refund", "information"]


def scripted_answer(messages: list[Any], asked: Any) -> Reply:
    """Answer by what the instructions ask for: parallel steps come in any order."""
    instructions = messages[0].text
    if "Sort" in instructions:
        ticket = {"order": "A1", "wish": "replacement"}
        return Reply(tool_calls=[call("Ticket", ticket)])
    if "French" in instructions:
        return Reply("Chère Ada, un nouvel exemplaire est en route.")
    return Reply("Dear Ada, a new copy is on its way.")


def ticket_of(message: AIMessage) -> Ticket:
    """Return what the assistant's answer was parsed to."""
    ticket: Ticket = message.additional_kwargs["parsed"]
    return ticket


def main() -> None:
    """Sort a mail, then draft two answers at once."""
    engine, model, scripted = open_engine(__doc__ or "", scripted_answer)
    with engine:

        def assistant(name: str, instructions: str, **options: Any) -> Any:
            return AssistantRunnable.create_assistant(
                name, instructions, [], model, engine=engine, as_message=True, **options
            )

        sorter = assistant("Sorter", "Sort the mail.", response_format=Ticket)
        writer = assistant("Writer", "Answer the mail in one sentence.")

        sort = ChatPromptTemplate.from_template("{mail}") | sorter | ticket_of
        prompt = ChatPromptTemplate.from_messages(
            [
                ("system", "Write in {language}. What is granted: {ticket}"),
                ("human", "{mail}"),
            ]
        )
        drafts = RunnableParallel(
            english=prompt.partial(language="English") | writer | StrOutputParser(),
            french=prompt.partial(language="French") | writer | StrOutputParser(),
        )
        chain = RunnablePassthrough.assign(ticket=sort) | RunnablePassthrough.assign(
            drafts=drafts
        )
        result = chain.invoke({"mail": MAIL})

        print("mail:   ", result["mail"])
        print("ticket: ", result["ticket"])
        print("english:", result["drafts"]["english"])
        print("french: ", result["drafts"]["french"])

        assert isinstance(result["ticket"], Ticket)
        assert len(list(engine.threads.list())) == 3, "one thread for each answer"
        if scripted:
            assert result["ticket"] == Ticket(order="A1", wish="replacement")
            assert result["drafts"]["french"].startswith("Chère Ada")


if __name__ == "__main__":
    main()
