# An origin that takes requests from Latchkey alone: Python 3.9 or later, with `pip install cryptography`.
# LATCHKEY_ISSUER=https://api.example.com LATCHKEY_AUDIENCE=demo PORT=9000 python3 python.py
import base64
import json
import os
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

ISSUER = os.environ["LATCHKEY_ISSUER"]
AUDIENCE = os.environ["LATCHKEY_AUDIENCE"]
JWKS_URL = os.environ.get("LATCHKEY_JWKS_URL", ISSUER + "/.well-known/jwks.json")
TOLERANCE_SECONDS = 5
KEYS_SECONDS, PAUSE_SECONDS = 300, 30


class Refused(Exception):
    """This request did not come through Latchkey."""


def decode(text):
    if not text or any(c not in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" for c in text):
        raise Refused("it is no base64url")
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Keys:
    """Latchkey's public keys: read when five minutes have passed, and for one that is not known, with a pause between."""

    def __init__(self):
        self.lock, self.by_id, self.read_at = threading.Lock(), {}, float("-inf")

    def get(self, kid):
        with self.lock:
            age = time.monotonic() - self.read_at
            if age > KEYS_SECONDS or (kid not in self.by_id and age > PAUSE_SECONDS):
                with urllib.request.urlopen(JWKS_URL, timeout=3) as answer:
                    keys = json.loads(answer.read(65536))["keys"]
                self.by_id = {key["kid"]: key for key in keys if key.get("alg") == "ES256"}
                self.read_at = time.monotonic()
            if kid not in self.by_id:
                raise Refused("its key is not known")
            key = self.by_id[kid]
        x, y = (int.from_bytes(decode(key[name]), "big") for name in ("x", "y"))
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()


class Taken:
    """Ids that were taken. With several processes keep them in one place."""

    def __init__(self):
        self.lock, self.until = threading.Lock(), {}

    def take(self, jti, exp):
        with self.lock:
            now = time.time()
            self.until = {known: until for known, until in self.until.items() if until > now}
            if jti in self.until:
                raise Refused("it was used before")
            self.until[jti] = exp + TOLERANCE_SECONDS


KEYS, TAKEN = Keys(), Taken()


def verify(assertion, method, target):
    """What Latchkey says of this request."""
    parts = (assertion or "").split(".")
    if len(parts) != 3:
        raise Refused("there is no assertion")
    try:
        header, claims = json.loads(decode(parts[0])), json.loads(decode(parts[1]))
        # Not a token of a client: those have the same audience, and another type. Never an algorithm of the sender's choice.
        if header.get("alg") != "ES256" or header.get("typ") != "latchkey-assertion+jwt" or "crit" in header:
            raise Refused("it is not an assertion")
        signature = decode(parts[2])
        if len(signature) != 64:
            raise Refused("its signature is not one of ES256")
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        der = utils.encode_dss_signature(r, s)
        KEYS.get(header.get("kid")).verify(der, (parts[0] + "." + parts[1]).encode(), ec.ECDSA(SHA256()))
        now = time.time()
        if claims["iss"] != ISSUER or claims["aud"] != AUDIENCE:
            raise Refused("it is from or for somebody else")
        if not claims["iat"] - TOLERANCE_SECONDS <= now <= claims["exp"] + TOLERANCE_SECONDS:
            raise Refused("its time is over, or has not come")
        if claims["exp"] - claims["iat"] > 60:
            raise Refused("it lives too long")
        # The path as it was sent, without the query.
        path = claims["htu"].split("://", 1)[1]
        if claims["htm"] != method or path[path.index("/") :] != target.split("?", 1)[0]:
            raise Refused("it is for another request")
        TAKEN.take(claims["jti"], claims["exp"])
        return claims
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Refused("it is not valid") from error


class Origin(BaseHTTPRequestHandler):
    def answer(self):
        try:
            claims = verify(self.headers.get("X-Latchkey-Assertion"), self.command, self.path)
            status, body = 200, {name: claims[name] for name in ("sub", "client_id", "scope")}
        except Refused as refused:
            status, body = 401, {"error": str(refused)}
        except OSError:
            # Keys that cannot be read are nobody's fault: the client may try again.
            status, body = 503, {"error": "the keys cannot be read"}
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9000"))), Origin)
print("ready", flush=True)
server.serve_forever()
