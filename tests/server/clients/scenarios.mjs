// What programs do with OpenAI's client for JavaScript; `scenarios.py` does the same.
//
// `node scenarios.mjs ADDRESS`, beside the npm package `openai`. It prints the name of
// each scenario that went as it should, and ends at the first that did not.

import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";
import { VERSION } from "openai/version";

const TOOLS = ["get_weather", "get_nickname"].map((name) => ({
  type: "function",
  function: {
    name,
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
    },
  },
}));
const OUTPUTS = { get_weather: "22 degrees", get_nickname: "the Big Apple" };
const ANSWER = "In the Big Apple it is 22 degrees.";

/** Answer the calls of a paused run, the last one first. */
function outputsFor(run) {
  const calls = run.required_action.submit_tool_outputs.tool_calls;
  assert.deepEqual(calls.map((call) => call.function.name), Object.keys(OUTPUTS));
  for (const call of calls) {
    assert.equal(call.function.arguments, '{"city": "New York"}');
  }
  return calls
    .toReversed()
    .map((call) => ({ tool_call_id: call.id, output: OUTPUTS[call.function.name] }));
}

async function threadWith(client, text) {
  const messages = [{ role: "user", content: text }];
  return (await client.beta.threads.create({ messages })).id;
}

const textOf = (message) => message.content[0].text.value;

async function answerOf(client, threadId, runId) {
  const found = await client.beta.threads.messages.list(threadId, { run_id: runId });
  return found.data.map(textOf).join("");
}

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function objects(client) {
  const { assistants, threads } = client.beta;
  const assistant = await assistants.create({
    model: "m",
    name: "Ada",
    tools: TOOLS,
    metadata: { team: "north" },
    temperature: 0.5,
  });
  assert.deepEqual(await assistants.retrieve(assistant.id), assistant);
  const changed = await assistants.update(assistant.id, { name: "Grace", tools: [] });
  assert.deepEqual([changed.name, changed.tools], ["Grace", []]);
  assert.deepEqual(changed.metadata, { team: "north" });
  const listed = await all(assistants.list({ limit: 1 }));
  assert(listed.some((one) => one.id === assistant.id));

  const thread = await threads.create({ metadata: { user: "7" } });
  const message = await threads.messages.create(thread.id, {
    role: "user",
    content: "Hi",
  });
  assert.equal(textOf(message), "Hi");
  const on = { thread_id: thread.id };
  const noted = await threads.messages.update(message.id, {
    ...on,
    metadata: { a: "b" },
  });
  assert.deepEqual(await threads.messages.retrieve(message.id, on), noted);
  assert((await threads.messages.delete(message.id, on)).deleted);
  assert.deepEqual((await threads.messages.list(thread.id)).data, []);
  const updated = await threads.update(thread.id, { metadata: { user: "8" } });
  assert.deepEqual(updated.metadata, { user: "8" });
  assert.deepEqual((await threads.retrieve(thread.id)).metadata, { user: "8" });
  assert((await threads.delete(thread.id)).deleted);
  assert((await assistants.delete(assistant.id)).deleted);
}

async function polling(client) {
  const assistant = await client.beta.assistants.create({ model: "m" });
  const threadId = await threadWith(client, "Hello!");
  const { runs } = client.beta.threads;
  const run = await runs.createAndPoll(threadId, { assistant_id: assistant.id });
  assert.equal(run.status, "completed");
  assert(run.usage.total_tokens > 0);
  assert.equal(await answerOf(client, threadId, run.id), "Hello, you.");
  const on = { thread_id: threadId };
  const [step] = await all(runs.steps.list(run.id, on));
  assert.equal(step.type, "message_creation");
  assert.equal((await runs.list(threadId)).data[0].id, run.id);
  const found = await runs.steps.retrieve(step.id, { ...on, run_id: run.id });
  assert.deepEqual(found, step);
  const begun = await client.beta.threads.createAndRun({
    assistant_id: assistant.id,
    thread: { messages: [{ role: "user", content: "Hello!" }] },
  });
  assert.equal(begun.status, "queued");
  const ended = await runs.poll(begun.id, { thread_id: begun.thread_id });
  assert.equal(ended.status, "completed");
}

async function streaming(client) {
  const assistant = await client.beta.assistants.create({ model: "m" });
  const threadId = await threadWith(client, "Hello!");
  const { runs } = client.beta.threads;
  const stream = runs.stream(threadId, { assistant_id: assistant.id });
  const pieces = [];
  stream.on("textDelta", (delta) => pieces.push(delta.value));
  const [message] = await stream.finalMessages();
  const [step] = await stream.finalRunSteps();
  assert.equal(pieces.join(""), "Hello, you.");
  assert.equal(textOf(message), "Hello, you.");
  assert.equal(step.step_details.message_creation.message_id, message.id);
  assert.equal((await stream.finalRun()).status, "completed");
  const body = { assistant_id: assistant.id, stream: true };
  const events = await all(await runs.create(threadId, body));
  const names = events.map((event) => event.event);
  assert.deepEqual(names.slice(0, 3), [
    "thread.run.created",
    "thread.run.queued",
    "thread.run.in_progress",
  ]);
  assert.equal(names.filter((name) => name !== "done").at(-1), "thread.run.completed");
  assert(names.filter((name) => name === "thread.message.delta").length > 1);
  const begun = client.beta.threads.createAndRunStream({
    assistant_id: assistant.id,
    thread: { messages: [{ role: "user", content: "Hello!" }] },
  });
  assert.equal((await all(begun))[0].event, "thread.created");
}

async function parallel_tools(client) {
  const assistant = await client.beta.assistants.create({ model: "m", tools: TOOLS });
  const threadId = await threadWith(client, "How is New York?");
  const { runs } = client.beta.threads;
  const run = await runs.createAndPoll(threadId, { assistant_id: assistant.id });
  assert.equal(run.status, "requires_action");
  const ended = await runs.submitToolOutputsAndPoll(run.id, {
    thread_id: threadId,
    tool_outputs: outputsFor(run),
  });
  assert.equal(ended.status, "completed");
  assert.equal(await answerOf(client, threadId, run.id), ANSWER);
  const steps = await all(
    runs.steps.list(run.id, { thread_id: threadId, order: "asc" }),
  );
  const outputs = steps[0].step_details.tool_calls.map((call) => call.function.output);
  assert.deepEqual(outputs, Object.values(OUTPUTS));
  assert.equal(steps[1].type, "message_creation");
}

async function streamed_tools(client) {
  const assistant = await client.beta.assistants.create({ model: "m", tools: TOOLS });
  const threadId = await threadWith(client, "How is New York?");
  const { runs } = client.beta.threads;
  const calls = [];
  const texts = [];
  const first = runs.stream(threadId, { assistant_id: assistant.id });
  first.on("toolCallDone", ({ function: called }) => calls.push(called));
  const paused = await first.finalRun();
  assert.equal(paused.status, "requires_action");
  const second = runs.submitToolOutputsStream(paused.id, {
    thread_id: threadId,
    tool_outputs: outputsFor(paused),
  });
  second.on("textDelta", (delta) => texts.push(delta.value));
  assert.equal((await second.finalRun()).status, "completed");
  assert.deepEqual(calls.map((called) => called.name), Object.keys(OUTPUTS));
  assert.equal(texts.join(""), ANSWER);
  assert(texts.length > 1);
}

async function cancelling(client) {
  const assistant = await client.beta.assistants.create({ model: "m" });
  const threadId = await threadWith(client, "Think long.");
  const { runs } = client.beta.threads;
  const body = { assistant_id: assistant.id };
  const run = await runs.create(threadId, body);
  await assert.rejects(runs.create(threadId, body), (error) => {
    assert(error instanceof OpenAI.BadRequestError);
    return error.message.includes("already has an active run");
  });
  const on = { thread_id: threadId };
  const cancelled = await runs.cancel(run.id, on);
  assert(["cancelling", "cancelled"].includes(cancelled.status));
  assert.equal((await runs.poll(run.id, on)).status, "cancelled");
  await client.beta.threads.messages.create(threadId, {
    role: "user",
    content: "Hello!",
  });
  assert.equal((await runs.createAndPoll(threadId, body)).status, "completed");
}

async function paging(client) {
  const { messages } = client.beta.threads;
  const texts = Array.from({ length: 7 }, (_, number) => String(number));
  const { id } = await client.beta.threads.create({
    messages: texts.map((text) => ({ role: "user", content: text })),
  });
  const ascending = await all(messages.list(id, { limit: 3, order: "asc" }));
  assert.deepEqual(ascending.map(textOf), texts);
  const descending = await all(messages.list(id, { limit: 3 }));
  assert.deepEqual(descending.map(textOf), texts.toReversed());
  const first = await messages.list(id, { limit: 3, order: "asc" });
  assert.deepEqual(first.data.map(textOf), texts.slice(0, 3));
  assert(first.hasNextPage());
  const second = await first.getNextPage();
  assert.deepEqual(second.data.map(textOf), texts.slice(3, 6));
  const before = await messages.list(id, { before: first.data[2].id, order: "asc" });
  assert.deepEqual(before.data.map(textOf), texts.slice(0, 2));
}

async function files(client) {
  const content = "year,profit\n2026,7\n";
  const profit = () => toFile(Buffer.from(content), "profit.csv");
  const stored = await client.files.create({
    file: await profit(),
    purpose: "user_data",
  });
  assert.deepEqual([stored.filename, stored.bytes], ["profit.csv", content.length]);
  assert.equal((await client.files.retrieve(stored.id)).purpose, "user_data");
  assert.equal(await (await client.files.content(stored.id)).text(), content);
  const listed = await all(client.files.list({ purpose: "user_data" }));
  assert(listed.some((one) => one.id === stored.id));

  const upload = await client.uploads.create({
    filename: "big.csv",
    purpose: "assistants",
    bytes: 4,
    mime_type: "text/csv",
  });
  const parts = [];
  for (const piece of ["a,", "b\n"]) {
    const data = await toFile(Buffer.from(piece), "piece");
    parts.push((await client.uploads.parts.create(upload.id, { data })).id);
  }
  const whole = await client.uploads.complete(upload.id, { part_ids: parts });
  assert.deepEqual([whole.file.filename, whole.file.bytes], ["big.csv", 4]);

  const { vectorStores } = client;
  const store = await vectorStores.create({ name: "Profits" });
  const found = await vectorStores.files.uploadAndPoll(store.id, await profit());
  assert(["completed", "failed"].includes(found.status)); // it ends
  const batch = await vectorStores.fileBatches.createAndPoll(store.id, {
    file_ids: [stored.id, whole.file.id],
  });
  assert.deepEqual([batch.file_counts.in_progress, batch.file_counts.total], [0, 2]);
  assert.equal((await vectorStores.retrieve(store.id)).file_counts.total, 3);
  assert((await vectorStores.delete(store.id)).deleted);
  assert((await client.files.delete(stored.id)).deleted);
}

async function refusals(client) {
  await assert.rejects(client.beta.assistants.retrieve("asst_gone"), (error) => {
    assert(error instanceof OpenAI.NotFoundError);
    assert(error.message.includes("No assistant found with id 'asst_gone'."));
    return error.requestID.startsWith("req_");
  });
  const { id } = await client.beta.threads.create();
  const empty = { role: "user", content: "" };
  await assert.rejects(client.beta.threads.messages.create(id, empty), (error) => {
    assert(error instanceof OpenAI.BadRequestError);
    assert.deepEqual([error.type, error.param], ["invalid_request_error", "content"]);
    return true;
  });
  const raw = await client.beta.assistants.create({ model: "m" }).withResponse();
  assert.equal(raw.data.object, "assistant");
  assert(raw.response.headers.has("openai-processing-ms"));
}

const [address] = process.argv.slice(2);
const client = new OpenAI({
  apiKey: "any",
  baseURL: address,
  maxRetries: 0,
  timeout: 30_000,
});
console.log(VERSION);
for (const scenario of [
  objects,
  polling,
  streaming,
  parallel_tools,
  streamed_tools,
  cancelling,
  paging,
  files,
  refusals,
]) {
  await scenario(client);
  console.log(scenario.name);
}
