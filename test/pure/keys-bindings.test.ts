import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkBindings,
  isCertificateHash,
  isCidr,
  isCountry,
  isOriginPattern,
  normalizeCidr,
} from "../../src/keys/bindings.ts";

const FACTS = {
  ip: "192.0.2.1",
  origin: "https://app.example.com",
  country: "DE",
  certificateSha256: "ab".repeat(32),
};

/** An address as its family and number, computed without the library that is under test. */
interface Address {
  readonly family: 4 | 6;
  readonly number: bigint;
}
const MAPPED = 0xffffn << 32n;

function familiar(address: Address): Address {
  return address.family === 6 && address.number >> 32n === 0xffffn
    ? { family: 4, number: address.number & 0xffff_ffffn }
    : address;
}

function textOf({ family, number }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => ((number >> shift) & 255n).toString()).join(".");
  return Array.from({ length: 8 }, (_, index) => ((number >> BigInt(112 - 16 * index)) & 0xffffn).toString(16)).join(
    ":",
  );
}

/** `null` where a mapped block is so wide that it is a v6 block: that one is tested apart. */
function contains(block: Address, bits: number, address: Address): boolean {
  const inner = familiar(address);
  const mappedBlock = block.family === 6 && block.number >> 32n === 0xffffn && bits >= 96;
  const outer = mappedBlock ? familiar(block) : block;
  const length = mappedBlock ? bits - 96 : bits;
  if (outer.family !== inner.family) return false;
  const shift = BigInt((outer.family === 4 ? 32 : 128) - length);
  return outer.number >> shift === inner.number >> shift;
}

const v4 = fc.bigInt({ min: 0n, max: 0xffff_ffffn }).map((number): Address => ({ family: 4, number }));
const v6 = fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }).map((number): Address => ({ family: 6, number }));
const mapped = v4.map(({ number }): Address => ({ family: 6, number: MAPPED | number }));
const anyAddress = fc.oneof(v4, v6, mapped);
const block = anyAddress.chain((address) =>
  fc.record({ address: fc.constant(address), bits: fc.nat(address.family === 4 ? 32 : 128) }),
);

function allowed(ips: readonly string[], ip: string | null): boolean {
  return checkBindings({ ips }, { ...FACTS, ip }) === null;
}

describe("addresses", () => {
  test("a block holds exactly the addresses that arithmetic says, v4, v6 and v4-mapped", () => {
    let inside = 0;
    fc.assert(
      fc.property(block, anyAddress, fc.nat(127), fc.boolean(), ({ address, bits }, other, flip, near) => {
        // Half of the addresses differ from the block's in one bit, else hardly any would lie inside.
        const width = address.family === 4 ? 32 : 128;
        const asked = near ? { family: address.family, number: address.number ^ (1n << BigInt(flip % width)) } : other;
        const expected = contains(address, bits, asked);
        inside += expected ? 1 : 0;
        expect(allowed([`${textOf(address)}/${bits}`], textOf(asked))).toBe(expected);
      }),
      { numRuns: 5_000 },
    );
    expect(inside).toBeGreaterThan(500);
  });

  test("the normal form means the same block and is its own normal form", () => {
    fc.assert(
      fc.property(block, anyAddress, fc.nat(127), ({ address, bits }, other, flip) => {
        const text = `${textOf(address)}/${bits}`;
        const normal = normalizeCidr(text) ?? "";
        expect(normalizeCidr(normal)).toBe(normal);
        const width = address.family === 4 ? 32 : 128;
        const near = {
          family: address.family,
          number: address.number ^ (1n << BigInt(flip % width)),
        };
        for (const asked of [other, near, address])
          expect(allowed([normal], textOf(asked))).toBe(allowed([text], textOf(asked)));
      }),
      { numRuns: 2_000 },
    );
  });

  test("the normal form clears host bits, compresses v6 and writes mapped addresses as v4", () => {
    expect(normalizeCidr("10.1.2.3/8")).toBe("10.0.0.0/8");
    expect(normalizeCidr("10.1.2.3")).toBe("10.1.2.3");
    expect(normalizeCidr("10.1.2.3/32")).toBe("10.1.2.3");
    expect(normalizeCidr("2001:DB8:0:0:0:0:0:1")).toBe("2001:db8::1");
    expect(normalizeCidr("2001:db8:ffff::/33")).toBe("2001:db8:8000::/33");
    expect(normalizeCidr("::ffff:10.1.2.3/104")).toBe("10.0.0.0/8");
    expect(normalizeCidr("0.0.0.0/0")).toBe("0.0.0.0/0");
    expect(normalizeCidr("::/0")).toBe("::/0");
  });

  test("v4 is never inside a v6 block that is wider than the mapped range, nor v6 inside a v4 block", () => {
    expect(allowed(["::/0"], "192.0.2.1")).toBe(false);
    expect(allowed(["::/0"], "::ffff:192.0.2.1")).toBe(false);
    expect(allowed(["::ffff:0:0/95"], "192.0.2.1")).toBe(false);
    expect(allowed(["0.0.0.0/0"], "2001:db8::1")).toBe(false);
    expect(allowed(["::ffff:0:0/96"], "192.0.2.1")).toBe(true);
    expect(allowed(["192.0.2.0/24"], "::ffff:c000:201")).toBe(true);
  });

  test("an unknown or unreadable address meets no binding", () => {
    for (const ip of [
      null,
      "",
      "unknown",
      "192.0.2.1, 10.0.0.1",
      "192.0.2.1:443",
      "010.0.2.1",
      "0xc0.0.2.1",
      "3221225985",
      "192.0.2",
      "fe80::1%eth0",
    ]) {
      expect(checkBindings({ ips: ["0.0.0.0/0", "::/0"] }, { ...FACTS, ip }), String(ip)).toBe("ip_not_allowed");
    }
  });

  test("what is not plainly four decimal bytes, or v6, is no address and meets no block", () => {
    for (const ip of ["0.0.0.0", "9.10.99.100", "255.255.255.255", "::ffff:192.0.2.1"])
      expect(allowed(["0.0.0.0/0"], ip), ip).toBe(true);
    for (const ip of [
      "010.0.0.1",
      "00.0.0.0",
      "1.2.3",
      "1.2.3.4.5",
      "1.2.3.256",
      "1.2.3.1000000000000",
      "1..2.3",
      ".1.2.3",
      "1.2.3.",
      "1.2.3.4/32",
      " 192.0.2.1",
      "0x7f.0.0.1",
      "16909060",
      "",
      ".",
      "...",
    ])
      expect(allowed(["0.0.0.0/0", "::/0"], ip), ip).toBe(false);
  });

  test("only plain decimal and v6 notation with a length in range is a CIDR", () => {
    for (const good of ["10.0.0.0/8", "10.0.0.1", "::1", "2001:db8::/32", "::ffff:10.0.0.1", "0.0.0.0/0", "::/128"])
      expect(isCidr(good), good).toBe(true);
    for (const bad of [
      "",
      "/8",
      "10.0.0.0/",
      "10.0.0.0/33",
      "10.0.0.0/-1",
      "10.0.0.0/08",
      "10.0.0.0/8/8",
      "10.0.0/8",
      "0x7f.1",
      "010.0.0.1",
      "::1/129",
      "fe80::1%1/64",
      "example.com",
      " 10.0.0.1",
      "10.0.0.1 ",
      "*",
      "10.0.0.*",
    ]) {
      expect(isCidr(bad), bad).toBe(false);
      expect(normalizeCidr(bad), bad).toBeNull();
    }
  });
});

describe("origins", () => {
  function from(origins: readonly string[], origin: string | null): boolean {
    return checkBindings({ origins }, { ...FACTS, origin }) === null;
  }

  test("a whole origin is met by itself alone", () => {
    expect(from(["https://app.example.com"], "https://app.example.com")).toBe(true);
    for (const other of [
      "http://app.example.com",
      "https://app.example.com:8443",
      "https://app.example.com.evil.test",
      "https://evil.test/https://app.example.com",
      "https://example.com",
      "null",
      "",
      null,
    ]) {
      expect(from(["https://app.example.com"], other), String(other)).toBe(false);
    }
    expect(from(["http://localhost:3000"], "http://localhost:3000")).toBe(true);
  });

  test("a wildcard is met by names below it over https, never by the suffix itself nor by one that only ends alike", () => {
    for (const good of ["https://app.example.com", "https://a.b.example.com", "https://x-y.example.com"])
      expect(from(["*.example.com"], good), good).toBe(true);
    for (const bad of [
      "https://example.com",
      "https://evil-example.com",
      "https://evilexample.com",
      "http://app.example.com",
      "https://app.example.com:8443",
      "https://.example.com",
      "https://evil.test/.example.com",
      "https://evil.test?.example.com",
      "https://evil.test#.example.com",
      "https://user@evil.example.com",
      "https://app.example.com.evil.test",
      "https://a..example.com",
      "https://evil.test\\.example.com",
      "null",
      null,
    ]) {
      expect(from(["*.example.com"], bad), String(bad)).toBe(false);
    }
  });

  test("a pattern is an origin as browsers write it, or *. and a name of two labels or more", () => {
    for (const good of [
      "https://app.example.com",
      "https://app.example.com:8443",
      "http://localhost:3000",
      "http://[::1]:3000",
      "*.example.com",
      "*.a-b.example.co.uk",
    ])
      expect(isOriginPattern(good), good).toBe(true);
    for (const bad of [
      "",
      "*",
      "*.com",
      "*.*.example.com",
      "*example.com",
      "app.example.com",
      "https://*.example.com",
      "https://App.example.com",
      "https://app.example.com/",
      "https://app.example.com:443",
      "https://app.example.com/x",
      "https://u@app.example.com",
      "ftp://example.com",
      "null",
      "*.example.com:8443",
      "*.example.com/",
      "https://",
    ]) {
      expect(isOriginPattern(bad), bad).toBe(false);
    }
  });
});

describe("countries and certificates", () => {
  test("are met by one of the list, and never when unknown", () => {
    expect(checkBindings({ countries: ["FR", "DE"] }, FACTS)).toBeNull();
    expect(checkBindings({ countries: ["FR"] }, FACTS)).toBe("country_not_allowed");
    expect(checkBindings({ countries: ["FR"] }, { ...FACTS, country: null })).toBe("country_not_allowed");
    expect(checkBindings({ certificateSha256: ["AB".repeat(32)] }, FACTS)).toBeNull();
    expect(checkBindings({ certificateSha256: ["cd".repeat(32)] }, FACTS)).toBe("certificate_required");
    expect(checkBindings({ certificateSha256: ["cd".repeat(32)] }, { ...FACTS, certificateSha256: null })).toBe(
      "certificate_required",
    );
  });

  test("have a grammar", () => {
    expect(["DE", "de", "DEU", "D", ""].map(isCountry)).toEqual([true, false, false, false, false]);
    expect(["ab".repeat(32), "AB".repeat(32), "ab".repeat(31), "zz".repeat(32)].map(isCertificateHash)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });
});

test("every kind that has entries must be met, and an empty or absent list is no binding", () => {
  const all = {
    ips: ["192.0.2.0/24"],
    origins: ["*.example.com"],
    countries: ["DE"],
    certificateSha256: ["ab".repeat(32)],
  };
  expect(checkBindings(all, FACTS)).toBeNull();
  expect(checkBindings(all, { ip: null, origin: null, country: null, certificateSha256: null })).toBe("ip_not_allowed");
  expect(checkBindings({}, { ip: null, origin: null, country: null, certificateSha256: null })).toBeNull();
  expect(
    checkBindings(
      { ips: [], origins: [], countries: [], certificateSha256: [] },
      { ip: null, origin: null, country: null, certificateSha256: null },
    ),
  ).toBeNull();
});

test("an entry that does not parse allows nothing, and the same bindings give the same answer again", () => {
  const bindings = { ips: ["nonsense", "192.0.2.1"] };
  for (let round = 0; round < 2; round += 1) {
    expect(checkBindings(bindings, FACTS)).toBeNull();
    expect(checkBindings(bindings, { ...FACTS, ip: "192.0.2.2" })).toBe("ip_not_allowed");
  }
  expect(checkBindings({ ips: ["nonsense"] }, FACTS)).toBe("ip_not_allowed");
});
