// The APNs client inside gorush, github.com/sideshow/apns2, fed by lines: a request on stdin, its answer on stdout.
//
// A request is "<number> <JSON array of [token, title, body]>", an answer "<number> ok" or "<number> <what failed>".
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/payload"
	"github.com/sideshow/apns2/token"
)

const maxLineBytes = 16 << 20

// batch is one request: what is left of it, and what went wrong first.
type batch struct {
	number string
	left   atomic.Int64
	failed atomic.Pointer[string]
}

type push struct {
	batch              *batch
	token, title, body string
}

func client(host, keyFile, keyID, teamID string) *apns2.Client {
	key, err := token.AuthKeyFromFile(keyFile)
	if err != nil {
		log.Fatal(err)
	}
	made := apns2.NewTokenClient(&token.Token{AuthKey: key, KeyID: keyID, TeamID: teamID})
	made.Host = "https://" + host
	return made
}

func send(client *apns2.Client, topic string, one push) {
	answer, err := client.Push(&apns2.Notification{
		DeviceToken: one.token,
		Topic:       topic,
		Priority:    apns2.PriorityHigh,
		PushType:    apns2.PushTypeAlert,
		Payload:     payload.NewPayload().AlertTitle(one.title).AlertBody(one.body),
	})
	if err != nil {
		why := strings.ReplaceAll(err.Error(), "\n", " ")
		one.batch.failed.CompareAndSwap(nil, &why)
	} else if !answer.Sent() {
		one.batch.failed.CompareAndSwap(nil, &answer.Reason)
	}
}

func work(client *apns2.Client, topic string, pushes <-chan push, done chan<- *batch) {
	for one := range pushes {
		send(client, topic, one)
		if one.batch.left.Add(-1) == 0 {
			done <- one.batch
		}
	}
}

func read(pushes chan<- push) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), maxLineBytes)
	for lines.Scan() {
		number, text, _ := strings.Cut(lines.Text(), " ")
		var fields [][3]string
		if err := json.Unmarshal([]byte(text), &fields); err != nil {
			log.Fatal(err)
		}
		request := &batch{number: number}
		request.left.Store(int64(len(fields)))
		for _, one := range fields {
			pushes <- push{request, one[0], one[1], one[2]}
		}
	}
}

func main() {
	host, keyFile, keyID, teamID, topic := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	workers, err := strconv.Atoi(os.Args[6])
	if err != nil {
		log.Fatal(err)
	}
	shared := client(host, keyFile, keyID, teamID)
	pushes, done := make(chan push, workers), make(chan *batch, workers)
	var busy sync.WaitGroup
	for range workers {
		busy.Go(func() { work(shared, topic, pushes, done) })
	}
	go func() {
		read(pushes)
		close(pushes)
		busy.Wait()
		close(done)
	}()
	fmt.Println("ready")
	for one := range done {
		if why := one.failed.Load(); why != nil {
			fmt.Println(one.number, *why)
		} else {
			fmt.Println(one.number, "ok")
		}
	}
}
