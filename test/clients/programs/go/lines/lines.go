// Package lines is the line protocol of session.ts.
package lines

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"os"
	"strings"
)

// Job is what the program is asked to do.
type Job struct {
	Stream            bool
	URL, Prompt, Body string
}

// Event says that an event of the stream has come.
func Event() { fmt.Println("event") }

// Text gives an SDK's answer.
func Text(text string) { say("text", "", encoded(text)) }

// HTTP gives a plain client's answer.
func HTTP(status, major int, body string) {
	say("http", fmt.Sprint(status), fmt.Sprintf("h%d", major), encoded(body))
}

// Do does the jobs as they come; statusOf tells the status in an error, 0 where it has none.
func Do(work func(Job) error, statusOf func(error) int) {
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		fields := strings.Split(input.Text(), "\t")
		job := Job{fields[1] == "1", fields[2], decoded(fields[3]), decoded(fields[4])}
		if err := work(job); err != nil {
			status := ""
			if code := statusOf(err); code > 0 {
				status = fmt.Sprint(code)
			}
			say("fail", strings.TrimPrefix(fmt.Sprintf("%T", err), "*"), status, encoded(err.Error()))
		}
	}
}

func say(fields ...string) { fmt.Println(strings.Join(fields, "\t")) }

func encoded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func decoded(text string) string {
	plain, _ := base64.StdEncoding.DecodeString(text)
	return string(plain)
}
