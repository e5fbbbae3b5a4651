// The least that a cache in Go does for a hit: read the request, digest it, look up, write the answer.
package main

import (
	"crypto/sha256"
	"io"
	"net/http"
	"os"
	"sync"
)

func main() {
	answer, err := os.ReadFile(os.Args[2])
	if err != nil {
		panic(err)
	}
	var kept sync.Map
	http.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		hash := sha256.New()
		io.WriteString(hash, r.Header.Get("authorization"))
		hash.Write(body)
		var key [32]byte
		hash.Sum(key[:0])
		found, _ := kept.LoadOrStore(key, answer)
		w.Header().Set("content-type", os.Args[3])
		w.Write(found.([]byte))
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
