// The room protocol on gorilla/websocket, as its documentation says for many connections: small read buffers, a pool of
// write buffers, a prepared message for the room, and the loop in a goroutine of its own, so that the buffers of
// net/http are freed. Go's own threads use all CPUs.
package main

import (
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

type member struct {
	link  *websocket.Conn
	write sync.Mutex
}

var (
	room     = map[*member]struct{}{}
	guard    sync.RWMutex
	upgrader = websocket.Upgrader{ReadBufferSize: 512, WriteBufferSize: 512, WriteBufferPool: &sync.Pool{}}
)

func publish(payload []byte) {
	message, err := websocket.NewPreparedMessage(websocket.BinaryMessage, payload)
	if err != nil {
		return
	}
	guard.RLock()
	defer guard.RUnlock()
	for each := range room {
		each.write.Lock()
		_ = each.link.WritePreparedMessage(message) // who has gone is taken out by its own reader
		each.write.Unlock()
	}
}

func (m *member) answer(kind int, message []byte) error {
	if kind == websocket.BinaryMessage && len(message) == 1 && message[0] == '+' {
		guard.Lock()
		room[m] = struct{}{}
		guard.Unlock()
		return nil
	}
	if kind == websocket.BinaryMessage && len(message) > 0 && (message[0] == '=' || message[0] == '~') {
		publish(message[1:])
		return nil
	}
	m.write.Lock()
	defer m.write.Unlock()
	return m.link.WriteMessage(kind, message)
}

func (m *member) serve() {
	defer func() {
		guard.Lock()
		delete(room, m)
		guard.Unlock()
		m.link.Close()
	}()
	for {
		kind, message, err := m.link.ReadMessage()
		if err != nil || m.answer(kind, message) != nil {
			return
		}
	}
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		link, err := upgrader.Upgrade(answer, request, nil)
		if err == nil {
			go (&member{link: link}).serve()
		}
	})))
}
