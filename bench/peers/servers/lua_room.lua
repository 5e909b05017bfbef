-- The room protocol in nginx with Lua, framing by hand because Debian has no lua-resty-websocket. A socket belongs to its
-- request, so each connection has two light threads: one reads, one writes what others put into its queue.

local semaphore = require("ngx.semaphore")
local bit = require("bit")
local ffi = require("ffi")
local byte, char, concat = string.byte, string.char, table.concat

local GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
local IDLE_MS = 86400000
local FINAL, BINARY, CLOSE, PING, PONG = 0x80, 2, 8, 9, 10

local room = {}
local module = {}

local function frame(kind, payload)
  local size = #payload
  if size < 126 then return char(FINAL + kind, size) .. payload end
  return char(FINAL + kind, 126, bit.rshift(size, 8), bit.band(size, 255)) .. payload
end

local function unmask(data, size)
  local bytes = ffi.new("uint8_t[?]", size)
  local m1, m2, m3, m4 = byte(data, 1, 4)
  local mask = { [0] = m1, m2, m3, m4 }
  for i = 0, size - 1 do bytes[i] = bit.bxor(byte(data, i + 5), mask[bit.band(i, 3)]) end
  return ffi.string(bytes, size)
end

local function receive(socket)
  local head, err = socket:receive(2)
  if not head then return nil, err end
  local first, second = byte(head, 1, 2)
  local size = bit.band(second, 127)
  if size == 127 then return nil end
  if size == 126 then
    local more = socket:receive(2)
    if not more then return nil end
    size = byte(more, 1) * 256 + byte(more, 2)
  end
  local data = socket:receive(size + 4)
  return data and bit.band(first, 15), data and unmask(data, size)
end

local function give(member, text)
  local queue = member.queue
  queue[#queue + 1] = text
  if #queue == 1 then member.wake:post(1) end
end

local function write(member)
  while not member.gone do
    if member.wake:wait(3600) then
      local queue = member.queue
      member.queue = {}
      if not member.socket:send(#queue == 1 and queue[1] or concat(queue)) then return end
    end
  end
end

local function answer(member, kind, payload)
  local first = kind == BINARY and byte(payload, 1)
  if first == 43 and #payload == 1 then
    room[member] = true
  elseif first == 61 or first == 126 then
    local text = frame(BINARY, payload:sub(2))
    for each in pairs(room) do give(each, text) end
  else
    give(member, frame(kind == PING and PONG or kind, payload))
  end
end

function module.serve()
  local key = ngx.var.http_sec_websocket_key
  if not key then return ngx.exit(400) end
  ngx.status = 101
  ngx.header["Upgrade"] = "websocket"
  ngx.header["Connection"] = "Upgrade"
  ngx.header["Sec-WebSocket-Accept"] = ngx.encode_base64(ngx.sha1_bin(key .. GUID))
  ngx.send_headers()
  ngx.flush(true)
  local socket = ngx.req.socket(true)
  socket:settimeout(IDLE_MS)
  local member = { socket = socket, queue = {}, wake = semaphore.new(0) }
  local writer = ngx.thread.spawn(write, member)
  while true do
    local kind, payload = receive(socket)
    if not kind or kind == CLOSE then break end
    answer(member, kind, payload)
  end
  room[member] = nil
  member.gone = true
  ngx.thread.kill(writer)
end

return module
