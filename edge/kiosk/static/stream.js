// The one stream from the device: whole states as JSON, preview pictures as JPEG. It reconnects by itself.

const RETRY_MS = 1000;

// A device that was started anew does not know this page any more: it refuses whatever the page asks for.
async function isStranger() {
  try {
    return (await fetch("/stream")).status === 403;
  } catch {
    return false; // nobody is there yet
  }
}

export function openStream() {
  const stateListeners = [];
  const frameListeners = [];
  const lineListeners = [];
  let begin;
  const stream = {
    ready: new Promise((resolve) => {
      begin = resolve;
    }),
    page: 0,
    state: null,
    onState(listener) {
      stateListeners.push(listener);
      if (stream.state) listener(stream.state);
    },
    // listener(jpeg: Blob, number) draws it and returns a promise; the next picture comes after it.
    onFrame(listener) {
      frameListeners.push(listener);
    },
    onLine(listener) {
      lineListeners.push(listener);
    },
    say(values) {
      if (socket && socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(values));
    },
    // Every listener hears the newest state once more: the page has changed.
    repeat() {
      for (const listener of stateListeners) listener(stream.state);
    },
    takeOver() {
      socket?.close();
    },
  };
  let socket = null;

  function connect() {
    let heard = false;
    socket = new WebSocket(`ws://${window.location.host}/stream`);
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", async (event) => {
      heard = true;
      if (typeof event.data === "string") {
        stream.state = JSON.parse(event.data);
        stream.page = stream.state.page;
        begin();
        for (const listener of lineListeners) listener(true);
        for (const listener of stateListeners) listener(stream.state);
        return;
      }
      const number = new DataView(event.data).getUint32(0);
      const jpeg = new Blob([new Uint8Array(event.data, 4)], { type: "image/jpeg" });
      for (const listener of frameListeners) {
        try {
          await listener(jpeg, number);
        } catch {
          // a picture that cannot be drawn is one that is missed
        }
      }
      stream.say({ frame: number });
    });
    socket.addEventListener("close", async () => {
      for (const listener of lineListeners) listener(false);
      if (!heard && (await isStranger())) {
        window.location.reload(); // to the page that says so, in three languages and without a script
        return;
      }
      window.setTimeout(connect, stream.state && !stream.state.controls ? 0 : RETRY_MS);
    });
  }

  connect();
  return stream;
}
