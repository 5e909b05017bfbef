// The room protocol on `ws`, as its README says for speed: no compression, `bufferutil` beside it (npm finds it by itself).
// One process, one thread of JavaScript.

import { WebSocketServer } from "ws";

const ADD = 0x2b, ALL = 0x3d, LATER = 0x7e;
const room = new Set();
const server = new WebSocketServer({ host: "127.0.0.1", port: 0, backlog: 4096, perMessageDeflate: false, clientTracking: false });

server.on("connection", (link) => {
  link.on("error", () => {});
  link.on("close", () => room.delete(link));
  link.on("message", (data, binary) => {
    if (binary && data.length === 1 && data[0] === ADD) room.add(link);
    else if (binary && (data[0] === ALL || data[0] === LATER)) {
      const payload = data.subarray(1);
      for (const member of room) member.send(payload);
    } else link.send(data, { binary });
  });
});
server.on("listening", () => console.log(server.address().port));
