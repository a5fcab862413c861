"""A data analyst: a CSV becomes a chart and a cleaned CSV, by code in a sandbox.

The hosted `code_interpreter`, as on OpenAI's servers: the model writes Python, it runs
in a jail on this machine, and what comes of it (an exception too) is shown to the
model, which goes on. The first attempt fails here, because the prices are no numbers.

It needs `pip install "langchain-assistants[interpreter]"` and Linux, with bubblewrap or
a kernel that has Landlock. Where no jail works it says so and ends: code never runs
without one. E2B's cloud works everywhere, docs/interpreters.md names more ways.

    python examples/data_analyst.py
    python examples/data_analyst.py --model openai:gpt-4o
    E2B_API_KEY=... python examples/data_analyst.py --interpreter e2b
"""

from __future__ import annotations

import re
from textwrap import indent
from typing import Any

from model_option import open_engine

from langchain_assistants import AssistantRunnable
from langchain_assistants.testing import Reply, call

SALES = """\
month,region,units,price
January,North,12,"12,50 €"
January,south,7,"11,00 €"
February,North,15,"12,50 €"
February,North,15,"12,50 €"
February,South,,"11,00 €"
March,North,21,"13,00 €"
March,SOUTH,16,"11,50 €"
"""
QUESTION = (
    "What did we sell in each month? Clean the data, show me a chart, and give me the "
    "cleaned CSV."
)

FIRST_ATTEMPT = """
import csv

rows = list(csv.DictReader(open("/mnt/data/sales.csv")))
sum(float(row["units"]) * float(row["price"]) for row in rows)
"""
REPAIRED = """
import pandas as pd

sales = pd.read_csv("/mnt/data/sales.csv")
sales = sales.drop_duplicates().dropna(subset=["units"])
sales["region"] = sales["region"].str.title()
price = sales["price"].str.removesuffix(" €").str.replace(",", ".")
sales["revenue"] = sales["units"] * price.astype(float)
sales.to_csv("/mnt/data/clean.csv", index=False)
revenue = sales.groupby("month", sort=False)["revenue"].sum()
print(revenue.to_string())
"""
CHART = """
import matplotlib.pyplot as plt

revenue.plot.bar(title="Revenue by month", ylabel="€", rot=0)
plt.show()
"""


def conclude(messages: list[Any], asked: Any) -> str:
    """Answer with what the code has printed, as a model would."""
    printed = " ".join(message.text for message in messages if message.type == "tool")
    months = dict(re.findall(r"(January|February|March) +([\d.]+)", printed))
    best = max(months, key=lambda month: float(months[month]))
    return (
        f"{best} was the best month, with {float(months[best]):.2f} €. I dropped a "
        "row that was there twice and one without units. The cleaned data: "
        "[clean.csv](sandbox:/mnt/data/clean.csv)"
    )


SCRIPT = [
    Reply(tool_calls=[call("code_interpreter", {"code": FIRST_ATTEMPT})]),
    Reply(tool_calls=[call("code_interpreter", {"code": REPAIRED})]),
    Reply(tool_calls=[call("code_interpreter", {"code": CHART})]),
    conclude,
]


def main() -> None:
    """Ask about a CSV; print the code, its outputs, and what the answer holds."""
    engine, model, scripted = open_engine(__doc__ or "", SCRIPT, runs_code=True)
    with engine:
        analyst = AssistantRunnable.create_assistant(
            name="Data analyst",
            instructions="You analyse data. Write and run code; draw with matplotlib.",
            tools=[{"type": "code_interpreter"}],
            model=model,
            engine=engine,
        )
        table = engine.files.create(
            file=("sales.csv", SALES.encode()), purpose="assistants"
        )
        attached = [{"file_id": table.id, "tools": [{"type": "code_interpreter"}]}]
        print("    you:", QUESTION)
        answer = analyst.invoke({"content": QUESTION, "attachments": attached})[-1]

        logs = []
        for step in engine.steps.list(answer.run_id, order="asc"):
            for made in getattr(step.step_details, "tool_calls", ()):
                print("\n" + made.code_interpreter.input.strip())
                for output in made.code_interpreter.outputs:
                    shown = output.logs if output.type == "logs" else "(a picture)"
                    lines = shown.strip().splitlines()
                    failed = lines[0].startswith("Traceback")
                    seen = lines[-1:] if failed else lines
                    print(indent("\n".join(seen), "    → "))
                    logs.append(shown)
        print("\nanalyst:", answer.text)

        pictures, files = [], []
        for part in answer.content:
            if part.type == "image_file":
                pictures.append(engine.files.content(part.image_file.file_id))
                print(f"  chart: {part.image_file.file_id}, {len(pictures[-1])} bytes")
            elif part.type == "text":
                for link in part.text.annotations:
                    files.append(engine.files.content(link.file_path.file_id))
                    print(f"   file: {link.text}, {len(files[-1])} bytes")

        if scripted:
            error, revenue, _ = logs
            assert "ValueError: could not convert string to float" in error
            assert "March" in revenue
            assert "March was the best month, with 457.00 €" in answer.text
            assert [picture[:4] for picture in pictures] == [b"\x89PNG"]
            header, first, *_ = files[0].decode().splitlines()
            assert header == "month,region,units,price,revenue"
            assert first == 'January,North,12.0,"12,50 €",150.0'


if __name__ == "__main__":
    main()
