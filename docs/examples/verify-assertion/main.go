// An origin that takes requests from Latchkey alone: Go 1.19 or later, standard library.
// LATCHKEY_ISSUER=https://api.example.com LATCHKEY_AUDIENCE=demo PORT=9000 go run main.go
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	tolerance = 5 * time.Second
	// The keys are read when they are this old, and for one that is not known, with a pause between.
	keysAge = 5 * time.Minute
	pause   = 30 * time.Second
)

var (
	issuer, audience = os.Getenv("LATCHKEY_ISSUER"), os.Getenv("LATCHKEY_AUDIENCE")
	jwksURL          = or(os.Getenv("LATCHKEY_JWKS_URL"), issuer+"/.well-known/jwks.json")
	client           = http.Client{Timeout: 3 * time.Second}
	errKeys          = errors.New("the keys cannot be read")
)

// Claims is what Latchkey says of a request.
type Claims struct {
	Iss, Aud, Sub, Jti, Scope, Htm, Htu string
	ClientID                            string `json:"client_id"`
	Iat, Exp                            int64
}

var keys struct {
	sync.Mutex
	byID   map[string]*ecdsa.PublicKey
	readAt time.Time
}

func keyOf(kid string) (*ecdsa.PublicKey, error) {
	keys.Lock()
	defer keys.Unlock()
	age := time.Since(keys.readAt)
	if _, known := keys.byID[kid]; age > keysAge || (!known && age > pause) {
		if err := readKeys(); err != nil {
			return nil, errKeys
		}
	}
	if key, known := keys.byID[kid]; known {
		return key, nil
	}
	return nil, errors.New("its key is not known")
}

func readKeys() error {
	answer, err := client.Get(jwksURL)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var set struct {
		Keys []struct{ Kid, Alg, X, Y string }
	}
	if err := json.NewDecoder(io.LimitReader(answer.Body, 65536)).Decode(&set); err != nil {
		return err
	}
	byID := map[string]*ecdsa.PublicKey{}
	for _, key := range set.Keys {
		x, errX := base64.RawURLEncoding.DecodeString(key.X)
		y, errY := base64.RawURLEncoding.DecodeString(key.Y)
		if key.Alg != "ES256" || errX != nil || errY != nil {
			continue
		}
		public := &ecdsa.PublicKey{Curve: elliptic.P256(), X: new(big.Int).SetBytes(x), Y: new(big.Int).SetBytes(y)}
		if public.Curve.IsOnCurve(public.X, public.Y) {
			byID[key.Kid] = public
		}
	}
	keys.byID, keys.readAt = byID, time.Now()
	return nil
}

// Ids that were taken. With several processes keep them in one place.
var taken = struct {
	sync.Mutex
	until map[string]time.Time
}{until: map[string]time.Time{}}

func take(jti string, until time.Time) bool {
	taken.Lock()
	defer taken.Unlock()
	for id, end := range taken.until {
		if end.Before(time.Now()) {
			delete(taken.until, id)
		}
	}
	if _, used := taken.until[jti]; used || jti == "" {
		return false
	}
	taken.until[jti] = until
	return true
}

func verify(request *http.Request) (*Claims, error) {
	parts := strings.Split(request.Header.Get("X-Latchkey-Assertion"), ".")
	if len(parts) != 3 {
		return nil, errors.New("there is no assertion")
	}
	var header struct {
		Alg, Typ, Kid string
		Crit          json.RawMessage
	}
	if err := decode(parts[0], &header); err != nil {
		return nil, err
	}
	// Not a token of a client: those have the same audience, and another type. Never an algorithm of the sender's choice.
	if header.Alg != "ES256" || header.Typ != "latchkey-assertion+jwt" || header.Crit != nil {
		return nil, errors.New("it is not an assertion")
	}
	key, err := keyOf(header.Kid)
	if err != nil {
		return nil, err
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(signature) != 64 {
		return nil, errors.New("its signature is not one of ES256")
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	if !ecdsa.Verify(key, digest[:], r, s) {
		return nil, errors.New("its signature is not valid")
	}
	var claims Claims
	if err := decode(parts[1], &claims); err != nil {
		return nil, err
	}
	now, issued, ends := time.Now(), time.Unix(claims.Iat, 0), time.Unix(claims.Exp, 0)
	// The path as it was sent, without the query.
	path, _, _ := strings.Cut(request.RequestURI, "?")
	switch {
	case claims.Iss != issuer || claims.Aud != audience:
		return nil, errors.New("it is from or for somebody else")
	case now.Before(issued.Add(-tolerance)) || now.After(ends.Add(tolerance)) || claims.Exp-claims.Iat > 60:
		return nil, errors.New("its time is over, or has not come")
	case claims.Htm != request.Method || pathOf(claims.Htu) != path:
		return nil, errors.New("it is for another request")
	case !take(claims.Jti, ends.Add(tolerance)):
		return nil, errors.New("it was used before")
	}
	return &claims, nil
}

func decode(part string, into any) error {
	bytes, err := base64.RawURLEncoding.DecodeString(part)
	if err == nil {
		err = json.Unmarshal(bytes, into)
	}
	if err != nil {
		return errors.New("it is not valid")
	}
	return nil
}

func pathOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	_, path, _ := strings.Cut(rest, "/")
	return "/" + path
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+or(os.Getenv("PORT"), "9000"))
	if err != nil {
		panic(err)
	}
	fmt.Println("ready")
	panic(http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		claims, err := verify(request)
		switch {
		case err == nil:
			response.Header().Set("Content-Type", "application/json")
			json.NewEncoder(response).Encode(map[string]string{"sub": claims.Sub, "client_id": claims.ClientID, "scope": claims.Scope})
		case errors.Is(err, errKeys):
			// Nobody's fault: the client may try again.
			http.Error(response, err.Error(), http.StatusServiceUnavailable)
		default:
			http.Error(response, err.Error(), http.StatusUnauthorized)
		}
	})))
}
