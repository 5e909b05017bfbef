// The room protocol on uWebSockets in C++, one thread on epoll: its own topics for the room, no compression, no TLS.
// The limits are those of its examples, but for the idle timeout (the longest it takes) and the backpressure.
#include "App.h"
#include <iostream>

struct Nothing {};

int main() {
  uWS::App app;
  app.ws<Nothing>("/*", {.compression = uWS::DISABLED,
                         .maxPayloadLength = 1 << 20,
                         .idleTimeout = 960,
                         .maxBackpressure = 64 << 20,
                         .message = [&app](auto *ws, std::string_view message, uWS::OpCode code) {
                           bool binary = code == uWS::OpCode::BINARY;
                           if (binary && message == "+") ws->subscribe("room");
                           else if (binary && (message.starts_with('=') || message.starts_with('~')))
                             app.publish("room", message.substr(1), code);
                           else ws->send(message, code);
                         }})
      .listen("127.0.0.1", 0, [](auto *listener) {
        if (listener) std::cout << us_socket_local_port(0, (us_socket_t *)listener) << std::endl;
      })
      .run();
}
