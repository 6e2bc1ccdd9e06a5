// @ts-check
// Server-sent events over fetch: EventSource cannot send an API key, nor tell why it was refused.

/**
 * @typedef {object} StreamEvent
 * @property {string} id
 * @property {string} kind
 * @property {any} data
 */

/**
 * Read the events of a `text/event-stream` body as they arrive.
 *
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<StreamEvent>}
 */
export async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let waiting = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (waiting + decoder.decode(value, { stream: true })).replaceAll("\r\n", "\n").split("\n\n");
      waiting = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event) yield event;
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // The stream may be broken already; there is nothing left to close then.
  }
}

/**
 * @param {string} block The lines of one event.
 * @returns {StreamEvent | null} Null for a comment, which only keeps the line open.
 */
function parseEvent(block) {
  const event = { id: "", kind: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, field, text] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (field === "id") event.id = text;
    else if (field === "event") event.kind = text;
    else if (field === "data") event.data += (event.data && "\n") + text;
  }
  return event.data ? { ...event, data: JSON.parse(event.data) } : null;
}
