import type { SignableMessage } from "../../src/signatures/message.ts";

/** RFC 9421, appendix B: keys, messages, bases and signatures, with the line folds of the document taken out. */

export const RFC_KEYS = {
  /** B.1.2, SubjectPublicKeyInfo. */
  rsaPss: [
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2",
    "+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+",
    "oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq",
    "gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W",
    "Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4",
    "aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI",
    "2wIDAQAB",
  ].join(""),
  /** B.1.3, SubjectPublicKeyInfo. */
  p256:
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf" +
    "w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==",
  /** B.1.4: the 32 bytes at the end of the SubjectPublicKeyInfo, and the PKCS #8. */
  ed25519: "JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=",
  ed25519Pkcs8: "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF",
  /** B.1.5. */
  shared: "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==",
} as const;

export type Fields = Readonly<Record<string, string | readonly string[]>>;

export function requestOf(method: string, url: string, fields: Fields): SignableMessage {
  return { method, url, status: null, linesOf: (name) => linesOf(fields, name) };
}

export function responseOf(status: number, fields: Fields): SignableMessage {
  return { method: null, url: "", status, linesOf: (name) => linesOf(fields, name) };
}

function linesOf(fields: Fields, name: string): readonly string[] {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}

const REQUEST_DIGEST =
  "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
const RESPONSE_DIGEST =
  "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:";

/** B.2, the body of test-request and its digest. */
export const TEST_BODY = '{"hello": "world"}';
export { REQUEST_DIGEST };

export const TEST_REQUEST = requestOf("POST", "https://example.com/foo?param=Value&Pet=dog", {
  host: "example.com",
  date: "Tue, 20 Apr 2021 02:07:55 GMT",
  "content-type": "application/json",
  "content-digest": REQUEST_DIGEST,
  "content-length": "18",
});

const TEST_RESPONSE = responseOf(200, {
  date: "Tue, 20 Apr 2021 02:07:56 GMT",
  "content-type": "application/json",
  "content-digest": RESPONSE_DIGEST,
  "content-length": "23",
});

/** B.3. */
const CLIENT_CERTIFICATE =
  ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaUgmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAWgBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1wbGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBVoU4hBVZ1yhk=:";

const TTRP_REQUEST = requestOf("POST", "https://service.internal.example/foo?param=Value&Pet=dog", {
  host: "service.internal.example",
  date: "Tue, 20 Apr 2021 02:07:55 GMT",
  "content-type": "application/json",
  "content-length": "18",
  "client-cert": CLIENT_CERTIFICATE,
});

export interface Vector {
  readonly section: string;
  readonly message: SignableMessage;
  readonly algorithm: "rsa-pss-sha512" | "ecdsa-p256-sha256" | "hmac-sha256" | "ed25519";
  /** In base64. */
  readonly key: string;
  readonly input: string;
  readonly signature: string;
  /** All lines of the base but the last. */
  readonly lines: readonly string[];
}

export const VECTORS: readonly Vector[] = [
  {
    section: "B.2.1",
    message: TEST_REQUEST,
    algorithm: "rsa-pss-sha512",
    key: RFC_KEYS.rsaPss,
    input: 'sig-b21=();created=1618884473;keyid="test-key-rsa-pss";nonce="b3k2pp5k7z-50gnwp.yemd"',
    signature:
      "sig-b21=:d2pmTvmbncD3xQm8E9ZV2828BjQWGgiwAaw5bAkgibUopemLJcWDy/lkbbHAve4cRAtx31Iq786U7it++wgGxbtRxf8Udx7zFZsckzXaJMkA7ChG52eSkFxykJeNqsrWH5S+oxNFlD4dzVuwe8DhTSja8xxbR/Z2cOGdCbzR72rgFWhzx2VjBqJzsPLMIQKhO4DGezXehhWwE56YCE+O6c0mKZsfxVrogUvA4HELjVKWmAvtl6UnCh8jYzuVG5WSb/QEVPnP5TmcAnLH1g+s++v6d4s8m0gCw1fV5/SITLq9mhho8K3+7EPYTU8IU1bLhdxO5Nyt8C8ssinQ98Xw9Q==:",
    lines: [],
  },
  {
    section: "B.2.2",
    message: TEST_REQUEST,
    algorithm: "rsa-pss-sha512",
    key: RFC_KEYS.rsaPss,
    input:
      'sig-b22=("@authority" "content-digest" "@query-param";name="Pet");created=1618884473;keyid="test-key-rsa-pss";tag="header-example"',
    signature:
      "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
    lines: ['"@authority": example.com', `"content-digest": ${REQUEST_DIGEST}`, '"@query-param";name="Pet": dog'],
  },
  {
    section: "B.2.3",
    message: TEST_REQUEST,
    algorithm: "rsa-pss-sha512",
    key: RFC_KEYS.rsaPss,
    input:
      'sig-b23=("date" "@method" "@path" "@query" "@authority" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-rsa-pss"',
    signature:
      "sig-b23=:bbN8oArOxYoyylQQUU6QYwrTuaxLwjAC9fbY2F6SVWvh0yBiMIRGOnMYwZ/5MR6fb0Kh1rIRASVxFkeGt683+qRpRRU5p2voTp768ZrCUb38K0fUxN0O0iC59DzYx8DFll5GmydPxSmme9v6ULbMFkl+V5B1TP/yPViV7KsLNmvKiLJH1pFkh/aYA2HXXZzNBXmIkoQoLd7YfW91kE9o/CCoC1xMy7JA1ipwvKvfrs65ldmlu9bpG6A9BmzhuzF8Eim5f8ui9eH8LZH896+QIF61ka39VBrohr9iyMUJpvRX2Zbhl5ZJzSRxpJyoEZAFL2FUo5fTIztsDZKEgM4cUA==:",
    lines: [
      '"date": Tue, 20 Apr 2021 02:07:55 GMT',
      '"@method": POST',
      '"@path": /foo',
      '"@query": ?param=Value&Pet=dog',
      '"@authority": example.com',
      '"content-type": application/json',
      `"content-digest": ${REQUEST_DIGEST}`,
      '"content-length": 18',
    ],
  },
  {
    section: "B.2.4",
    message: TEST_RESPONSE,
    algorithm: "ecdsa-p256-sha256",
    key: RFC_KEYS.p256,
    input:
      'sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256"',
    signature: "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
    lines: [
      '"@status": 200',
      '"content-type": application/json',
      `"content-digest": ${RESPONSE_DIGEST}`,
      '"content-length": 23',
    ],
  },
  {
    section: "B.2.5",
    message: TEST_REQUEST,
    algorithm: "hmac-sha256",
    key: RFC_KEYS.shared,
    input: 'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
    signature: "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    lines: ['"date": Tue, 20 Apr 2021 02:07:55 GMT', '"@authority": example.com', '"content-type": application/json'],
  },
  {
    section: "B.2.6",
    message: TEST_REQUEST,
    algorithm: "ed25519",
    key: RFC_KEYS.ed25519,
    input:
      'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
    signature: "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    lines: [
      '"date": Tue, 20 Apr 2021 02:07:55 GMT',
      '"@method": POST',
      '"@path": /foo',
      '"@authority": example.com',
      '"content-type": application/json',
      '"content-length": 18',
    ],
  },
  {
    section: "B.3",
    message: TTRP_REQUEST,
    algorithm: "ecdsa-p256-sha256",
    key: RFC_KEYS.p256,
    input: 'ttrp=("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256"',
    signature: "ttrp=:xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==:",
    lines: [
      '"@path": /foo',
      '"@query": ?param=Value&Pet=dog',
      '"@method": POST',
      '"@authority": service.internal.example',
      `"client-cert": ${CLIENT_CERTIFICATE}`,
    ],
  },
];

/** B.4: one signature, and messages that it is right for, and not. */
export const TRANSFORM = {
  input: 'transform=("@method" "@path" "@authority" "accept");created=1618884473;keyid="test-key-ed25519"',
  signature: "transform=:ZT1kooQsEHpZ0I1IjCqtQppOmIqlJPeo7DHR3SoMn0s5JZ1eRGS0A+vyYP9t/LXlh5QMFFQ6cpLt2m0pmj3NDA==:",
  good: {
    "as it was sent": requestOf("GET", "https://example.org/demo?name1=Value1&Name2=value2", {
      date: "Fri, 15 Jul 2022 14:24:55 GMT",
      accept: ["application/json", "*/*"],
    }),
    "with a header and a parameter more": requestOf(
      "GET",
      "https://example.org/demo?name1=Value1&Name2=value2&param=added",
      { accept: ["application/json", "*/*"], "accept-language": "en-US,en;q=0.5" },
    ),
    "with its lines joined": requestOf("GET", "https://example.org/demo?name1=Value1&Name2=value2", {
      referer: "https://developer.example.org/demo",
      accept: "application/json, */*",
    }),
  },
  bad: {
    "another method and authority": requestOf("POST", "https://example.com/demo?name1=Value1&Name2=value2", {
      accept: ["application/json", "*/*"],
    }),
    "lines in another order": requestOf("GET", "https://example.org/demo?name1=Value1&Name2=value2", {
      accept: ["*/*", "application/json"],
    }),
  },
} as const;
