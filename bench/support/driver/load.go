package main

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const opening = 8

// Tally is what one of the parallel runners saw.
type Tally struct {
	times   []float64
	bytes   int64
	resumed int
	err     error
}

func load(s *Settings) error {
	client, err := newClient(s)
	if err != nil {
		return err
	}
	conns := make([]*Conn, s.connections)
	if s.mode != "connect" {
		if err := client.openAll(conns); err != nil {
			return err
		}
	}
	in := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	if !waitForLine(in) {
		return nil
	}
	cpu := cpuUs()
	began := time.Now()
	end := began.Add(s.time)
	var next atomic.Int64
	next.Store(int64(s.from))
	tallies := make([]Tally, s.connections)
	var all sync.WaitGroup
	for i := range tallies {
		all.Add(1)
		go func() {
			defer all.Done()
			switch s.mode {
			case "connect":
				tallies[i] = connecting(client, i, end, &next)
			case "stream":
				tallies[i] = streaming(client, conns[i])
			default:
				tallies[i] = asking(client, conns[i], end)
			}
		}()
	}
	all.Wait()
	figures := sum(tallies, time.Since(began))
	figures.CPUUs = cpuUs() - cpu
	say(figures)
	// The connections stay until the other side has read its clocks.
	waitForLine(in)
	return nil
}

// openAll opens some at a time: one after the other the first would wait too long for its first request.
func (c *Client) openAll(conns []*Conn) error {
	errs := make([]error, opening)
	var all sync.WaitGroup
	for part := range opening {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := part; i < len(conns) && errs[part] == nil; i += opening {
				conns[i], errs[part] = c.open(c.settings.host, i, nil)
			}
		}()
	}
	all.Wait()
	return errors.Join(errs...)
}

func asking(client *Client, conn *Conn, end time.Time) (tally Tally) {
	for {
		began := time.Now()
		if began.After(end) {
			return tally
		}
		if tally.err = conn.tls.SetDeadline(began.Add(ioLimit)); tally.err != nil {
			return tally
		}
		n, err := client.ask(conn, client.request)
		if err != nil {
			tally.err = err
			return tally
		}
		tally.bytes += n
		tally.times = append(tally.times, us(time.Since(began)))
	}
}

// connecting opens a connection for every request; with fresh hosts each has a name that was never used.
func connecting(client *Client, at int, end time.Time, next *atomic.Int64) (tally Tally) {
	s := client.settings
	var cache tls.ClientSessionCache
	if s.resume {
		cache = tls.NewLRUClientSessionCache(4)
	}
	for {
		began := time.Now()
		if began.After(end) {
			return tally
		}
		host, request := s.host, client.request
		if s.to > 0 {
			number := next.Add(1) - 1
			if number >= int64(s.to) {
				return tally
			}
			host = strings.Replace(s.host, "%d", fmt.Sprint(number), 1)
			request = requestOf(s.method, s.path, s.authority(host), 0, nil)
		}
		conn, err := client.open(host, at, cache)
		if err != nil {
			tally.err = err
			return tally
		}
		n, err := client.ask(conn, request)
		if conn.tls.ConnectionState().DidResume {
			tally.resumed++
		}
		conn.close()
		if err != nil {
			tally.err = err
			return tally
		}
		tally.bytes += n
		tally.times = append(tally.times, us(time.Since(began)))
	}
}

func sum(tallies []Tally, elapsed time.Duration) (figures Figures) {
	var times []float64
	for _, tally := range tallies {
		times = append(times, tally.times...)
		figures.Bytes += tally.bytes
		figures.Resumed += tally.resumed
		if tally.err != nil {
			figures.Failed++
			figures.FirstFail = tally.err.Error()
		}
	}
	sort.Float64s(times)
	figures.Requests = len(times)
	figures.Seconds = elapsed.Seconds()
	figures.P50Us = quantile(times, 0.5)
	figures.P99Us = quantile(times, 0.99)
	figures.MaxUs = quantile(times, 1)
	return figures
}

func quantile(sorted []float64, share float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(share*float64(len(sorted)-1))]
}

func us(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1000
}

// cpuUs is what this process has used so far.
func cpuUs() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return (usage.Utime.Sec+usage.Stime.Sec)*1e6 + int64(usage.Utime.Usec+usage.Stime.Usec)
}
