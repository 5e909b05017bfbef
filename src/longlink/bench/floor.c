/* The floor: the least that a WebSocket server can do on this kernel, in C on epoll, one thread.
 *
 * A yardstick and no product: it trusts its clients (messages of at most 16 KiB in one frame each, nothing said before the
 * answer to the upgrade, no limits, no timers, no queues), so every real server must be above it. A message "+" joins
 * the one room; "=" or "~" and a payload sends that payload to every member, by one send() each; anything else comes
 * back. Prints its port and serves until it is killed. A member that goes is forgotten; one that takes nothing for a
 * second is left out. What made it cheaper here: send() and recv() instead of write() and read(), edges instead of
 * levels, and no second read after a short one. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILES = 1 << 20, EVENTS = 1024, MASK = 4, SHORT = 125, BUFFER = 16400, PATIENCE_MS = 1000 };
enum { FINAL_BINARY = 0x82, CLOSE = 0x88, PING = 0x89, PONG = 0x8A };

static char upgraded[FILES];
static int members[FILES], place[FILES], count; /* place: where in members a connection is, from 1; 0: it is not there */

static uint32_t rotate(uint32_t value, int bits) { return value << bits | value >> (32 - bits); }

static void sha1_block(uint32_t state[5], const uint8_t block[64]) {
  uint32_t w[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)block[4 * i] << 24 | block[4 * i + 1] << 16 | block[4 * i + 2] << 8 | block[4 * i + 3];
  for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  for (int i = 0; i < 80; i++) {
    uint32_t f = i < 20 ? (b & c) | (~b & d) : i < 40 ? b ^ c ^ d : i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
    uint32_t k = i < 20 ? 0x5A827999 : i < 40 ? 0x6ED9EBA1 : i < 60 ? 0x8F1BBCDC : 0xCA62C1D6;
    uint32_t next = rotate(a, 5) + f + e + k + w[i];
    e = d, d = c, c = rotate(b, 30), b = a, a = next;
  }
  state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e;
}

/* RFC 6455 section 4.2.2: the base64 of the SHA-1 of the key and a fixed string; 60 bytes, so always two blocks. */
static void accept_value(const char *key, char out[29]) {
  static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};
  uint8_t block[128] = {0}, digest[21] = {0};
  memcpy(block, key, 24);
  memcpy(block + 24, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 36);
  block[60] = 0x80, block[126] = 480 >> 8, block[127] = 480 & 255;
  sha1_block(state, block), sha1_block(state, block + 64);
  for (int i = 0; i < 20; i++) digest[i] = state[i / 4] >> (24 - 8 * (i % 4));
  for (int i = 0; i < 7; i++) {
    uint32_t three = digest[3 * i] << 16 | digest[3 * i + 1] << 8 | digest[3 * i + 2];
    for (int j = 0; j < 4; j++) out[4 * i + j] = letters[three >> (18 - 6 * j) & 63];
  }
  out[27] = '=', out[28] = 0;
}

static int ready(int fd, short what) {
  struct pollfd one = {.fd = fd, .events = what};
  return poll(&one, 1, PATIENCE_MS) == 1;
}

/* Nothing is queued: a full socket is waited for. 0: all was written. */
static int give(int fd, const void *bytes, long size) {
  for (long done; size > 0; bytes = (const char *)bytes + done, size -= done) {
    done = send(fd, bytes, size, MSG_NOSIGNAL);
    if (done >= 0) continue;
    if (errno != EAGAIN || !ready(fd, POLLOUT)) return -1;
    done = 0;
  }
  return 0;
}

static void join(int fd) {
  if (place[fd]) return;
  members[count++] = fd, place[fd] = count;
}

static void leave(int fd) {
  if (!place[fd]) return;
  int last = members[--count];
  members[place[fd] - 1] = last, place[last] = place[fd], place[fd] = 0;
}

/* Backwards, because who leaves is replaced by the last one. The socket of who leaves is closed when it is read next. */
static void publish(const uint8_t *frame, long size) {
  for (int i = count; i-- > 0;)
    if (give(members[i], frame, size)) leave(members[i]);
}

static int upgrade(int fd, char *request) {
  char *key = strcasestr(request, "sec-websocket-key:"), value[29], answer[256];
  if (!key) return -1;
  for (key += 18; *key == ' '; key++);
  accept_value(key, value);
  int size = snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", value);
  upgraded[fd] = 1;
  return give(fd, answer, size);
}

static void unmask(uint8_t *payload, long length, const uint8_t mask[MASK]) {
  uint64_t twice, word;
  long i = 0;
  memcpy(&twice, mask, MASK), memcpy((char *)&twice + MASK, mask, MASK);
  for (; i + 8 <= length; i += 8) memcpy(&word, payload + i, 8), word ^= twice, memcpy(payload + i, &word, 8);
  for (; i < length; i++) payload[i] ^= mask[i & 3];
}

/* Writes the header before the payload, over what was there; a server's frame has no mask, so there is room. */
static uint8_t *head(uint8_t first, uint8_t *payload, long length) {
  uint8_t *frame = payload - (length > SHORT ? 4 : 2);
  frame[0] = first, frame[1] = length;
  if (length > SHORT) frame[1] = 126, frame[2] = length >> 8, frame[3] = length;
  return frame;
}

static int answer(int fd, uint8_t first, uint8_t *payload, long length) {
  if (first == FINAL_BINARY && length == 1 && payload[0] == '+') return join(fd), 0;
  if (first == FINAL_BINARY && length > 0 && (payload[0] == '=' || payload[0] == '~')) {
    uint8_t *frame = head(first, payload + 1, length - 1);
    return publish(frame, payload + length - frame), 0;
  }
  uint8_t *frame = head(first == PING ? PONG : first, payload, length);
  return give(fd, frame, payload + length - frame) || first == CLOSE ? -1 : 0;
}

/* The size of the request or frame that the bytes begin with, after answering it; 0: there is more to come. */
static long take(int fd, uint8_t *bytes, long have) {
  if (!upgraded[fd]) {
    char *end = memmem(bytes, have, "\r\n\r\n", 4);
    if (!end) return 0;
    *end = 0;
    return upgrade(fd, (char *)bytes) ? -1 : end + 4 - (char *)bytes;
  }
  if (have < 2 || have < (bytes[1] == (0x80 | 126) ? 4 : 2)) return 0;
  long length = bytes[1] & 127, header = 2;
  if (length == 127) return -1;
  if (length == 126) length = bytes[2] << 8 | bytes[3], header = 4;
  uint8_t *mask = bytes + header, *payload = mask + MASK;
  if (have < header + MASK + length) return 0;
  unmask(payload, length, mask);
  return answer(fd, bytes[0], payload, length) ? -1 : header + MASK + length;
}

/* Most reads bring whole frames and are short, which says that the socket is empty. The rest of a part is waited for, so
 * that no connection keeps a buffer. */
static int serve(int fd, int ended) {
  static uint8_t buffer[BUFFER + 32];
  for (long have = 0, size;;) {
    long room = BUFFER - have, more = recv(fd, buffer + have, room, 0);
    if (more < 0 && errno == EAGAIN && have && ready(fd, POLLIN)) continue;
    if (more <= 0) return more < 0 && errno == EAGAIN && !have ? 0 : -1;
    uint8_t *next = buffer, *end = buffer + have + more;
    while (next < end && (size = take(fd, next, end - next)) > 0) next += size;
    if (next < end && size < 0) return -1;
    have = end - next;
    memmove(buffer, next, have);
    if (!have && more < room && !ended) return 0;
  }
}

static void welcome(int poll, int listener) {
  int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (fd < 0 || fd >= FILES) { close(fd); return; }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  upgraded[fd] = 0;
  struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.fd = fd};
  epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

static void as_many_files_as_allowed(void) {
  struct rlimit files;
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
}

int main(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  as_many_files_as_allowed();
  int listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
  if (bind(listener, (void *)&address, size) || listen(listener, 4096)) return perror("listen"), 1;
  getsockname(listener, (void *)&address, &size);
  printf("%d\n", ntohs(address.sin_port)), fflush(stdout);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int found = epoll_wait(poll, events, EVENTS, -1);
    for (int i = 0; i < found; i++) {
      int fd = events[i].data.fd, ended = events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR);
      if (fd == listener) welcome(poll, listener);
      else if (serve(fd, ended)) leave(fd), close(fd);
    }
  }
}
