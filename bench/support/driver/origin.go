package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

const maxChat = 1 << 20

// serve answers chats; `max_tokens` is the number of events of a stream and `seed` the milliseconds between two.
func serve(s *Settings) error {
	server := &http.Server{
		Addr:         s.listen,
		Handler:      http.HandlerFunc(answer),
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	return server.ListenAndServeTLS(s.cert, s.key)
}

func answer(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > maxChat {
		n, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			text := fmt.Sprintf(`{"bytes":%d}`, n)
			w.Header().Set("Content-Length", fmt.Sprint(len(text)))
			_, _ = io.WriteString(w, text)
		}
		return
	}
	body, err := io.ReadAll(r.Body)
	var chat struct {
		Stream    bool `json:"stream"`
		MaxTokens int  `json:"max_tokens"`
		Seed      int  `json:"seed"`
	}
	if err != nil || len(body) > 0 && json.Unmarshal(body, &chat) != nil {
		http.Error(w, "not a chat", http.StatusBadRequest)
		return
	}
	if !chat.Stream {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"ok":true}`)
		return
	}
	events(w, r, chat.MaxTokens, time.Duration(chat.Seed)*time.Millisecond)
}

func events(w http.ResponseWriter, r *http.Request, count int, every time.Duration) {
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	// Streams do not beat together.
	due := time.Now().Add(time.Duration(rand.Int64N(int64(every) + 1)))
	padding := strings.Repeat("x", 40)
	for range count {
		select {
		case <-r.Context().Done():
			return
		case <-time.After(time.Until(due)):
		}
		due = due.Add(every)
		_, err := fmt.Fprintf(w, `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1,"model":"gpt-4o-mini",`+
			`"choices":[{"index":0,"delta":{"content":"%s"},"finish_reason":null}],"stamp":%d}`+"\n\n", padding, time.Now().UnixNano())
		if err != nil || out.Flush() != nil {
			return
		}
	}
	_, _ = io.WriteString(w, "data: [DONE]\n\n")
}
