/* The limit: the least that a WebSocket echo server can do on this kernel, in C on epoll, one thread.
 *
 * A yardstick and no product: it trusts its clients (each read brings one whole request or one whole frame of at most 125
 * bytes; no pings, no close handshake, no limits), so every real server must be above it. Prints its port and serves
 * until it is killed. figures/echo.py builds and runs it. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FILES = 20000, EVENTS = 512, HEADER = 2, MASK = 4 };

static char upgraded[FILES];

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

static int upgrade(int fd, char *request) {
  char *key = strcasestr(request, "sec-websocket-key:"), value[29], answer[256];
  if (!key) return -1;
  for (key += 18; *key == ' '; key++);
  accept_value(key, value);
  int size = snprintf(answer, sizeof answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                      "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n", value);
  upgraded[fd] = 1;
  return write(fd, answer, size) == size ? 0 : -1;
}

static int echo(int fd, uint8_t *frame, long size) {
  int length = frame[1] & 127;
  if (size != HEADER + MASK + length || length > 125) return -1;
  uint8_t *mask = frame + HEADER, *payload = mask + MASK, *answer = frame + MASK;
  for (int i = 0; i < length; i++) payload[i] ^= mask[i & 3];
  answer[0] = frame[0], answer[1] = length;
  return write(fd, answer, HEADER + length) == HEADER + length ? 0 : -1;
}

static int serve(int fd) {
  static uint8_t buffer[4096];
  long size = read(fd, buffer, sizeof buffer - 1);
  if (size <= 0) return -1;
  buffer[size] = 0;
  return upgraded[fd] ? echo(fd, buffer, size) : upgrade(fd, (char *)buffer);
}

static void welcome(int poll, int listener) {
  int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (fd < 0 || fd >= FILES) { close(fd); return; }
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  upgraded[fd] = 0;
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
}

int main(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0), poll = epoll_create1(0);
  if (bind(listener, (void *)&address, size) || listen(listener, 1024)) return perror("listen"), 1;
  getsockname(listener, (void *)&address, &size);
  printf("%d\n", ntohs(address.sin_port)), fflush(stdout);
  struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[EVENTS];
  epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(poll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == listener) welcome(poll, listener);
      else if (serve(fd)) close(fd);
    }
  }
}
