/* What the stub and the load generator share: a growing buffer, a JSON scanner, HTTP/1.1 framing.
 *
 * Both ends are ours and run on loopback, so this takes well-formed input for granted wherever that saves time:
 * the JSON scanner finds members and skips values, it does not validate. It is not a parser for hostile input. */
#ifndef PORTICO_BENCH_WIRE_H
#define PORTICO_BENCH_WIRE_H

#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>

#define MODERN_VERSION "2026-07-28"
#define LEGACY_VERSION "2025-11-25"

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

/* --- buffers ------------------------------------------------------------------------------------------ */

typedef struct {
    const char *p;
    size_t n;
} span;

typedef struct {
    char *p;
    size_t n, cap;
} buf;

static void buf_reserve(buf *b, size_t more) {
    if (b->n + more <= b->cap) return;
    size_t cap = b->cap ? b->cap : 4096;
    while (cap < b->n + more) cap *= 2;
    b->p = realloc(b->p, cap);
    if (!b->p) die("realloc");
    b->cap = cap;
}

static void buf_add(buf *b, const void *p, size_t n) {
    if (!n) return;
    buf_reserve(b, n);
    memcpy(b->p + b->n, p, n);
    b->n += n;
}

__attribute__((format(printf, 2, 3))) static void buf_addf(buf *b, const char *format, ...) {
    for (size_t room = 512;; room *= 4) {
        buf_reserve(b, room);
        va_list args;
        va_start(args, format);
        int n = vsnprintf(b->p + b->n, room, format, args);
        va_end(args);
        if (n >= 0 && (size_t)n < room) {
            b->n += (size_t)n;
            return;
        }
    }
}

static void buf_drop(buf *b, size_t n) {
    b->n -= n;
    if (b->n) memmove(b->p, b->p + n, b->n);
}

static bool span_is(span s, const char *text) {
    size_t n = strlen(text);
    return s.n == n && !memcmp(s.p, text, n);
}

static bool span_has(span s, const char *text, size_t n) {
    return s.p && memmem(s.p, s.n, text, n) != NULL;
}

/* --- JSON --------------------------------------------------------------------------------------------- */

static const char *json_blank(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) p++;
    return p;
}

/* `p` is at the opening quote; gives the place after the closing one, or NULL. */
static const char *json_string_end(const char *p, const char *end) {
    for (p++; p < end; p++) {
        if (*p == '\\')
            p++;
        else if (*p == '"')
            return p + 1;
    }
    return NULL;
}

/* The place after the value that starts at `p`, or NULL. */
static const char *json_skip(const char *p, const char *end) {
    int depth = 0;
    while (p < end) {
        switch (*p) {
        case '"':
            p = json_string_end(p, end);
            if (!p) return NULL;
            break;
        case '{':
        case '[':
            depth++;
            p++;
            break;
        case '}':
        case ']':
            depth--;
            p++;
            if (depth < 0) return NULL;
            break;
        case ',':
        case ':':
        case ' ':
        case '\n':
        case '\r':
        case '\t':
            p++;
            continue;
        default:
            do p++;
            while (p < end && !strchr(",:]} \n\r\t", *p));
        }
        if (!depth) return p;
    }
    return NULL;
}

/* The raw text of a member of an object, {NULL, 0} if there is none. Keys are compared unescaped. */
static span json_get(span object, const char *key) {
    const char *end = object.p + object.n;
    size_t length = strlen(key);
    if (!object.p) return (span){NULL, 0};
    const char *p = json_blank(object.p, end);
    if (p >= end || *p != '{') return (span){NULL, 0};
    p = json_blank(p + 1, end);
    while (p < end && *p == '"') {
        const char *name = p + 1;
        p = json_string_end(p, end);
        if (!p) break;
        bool found = (size_t)(p - 1 - name) == length && !memcmp(name, key, length);
        p = json_blank(p, end);
        if (p >= end || *p != ':') break;
        p = json_blank(p + 1, end);
        const char *value = p;
        p = json_skip(p, end);
        if (!p) break;
        if (found) return (span){value, (size_t)(p - value)};
        p = json_blank(p, end);
        if (p < end && *p == ',') p = json_blank(p + 1, end);
    }
    return (span){NULL, 0};
}

/* A string member without its quotes, escapes left as they are; {NULL, 0} if it is not a string. */
static span json_text(span object, const char *key) {
    span s = json_get(object, key);
    if (s.n < 2 || *s.p != '"') return (span){NULL, 0};
    return (span){s.p + 1, s.n - 2};
}

/* --- HTTP/1.1 ----------------------------------------------------------------------------------------- */

/* The value of a header; `head` is everything up to and with the empty line. */
static span http_header(span head, const char *name) {
    size_t length = strlen(name);
    const char *end = head.p + head.n, *line = memchr(head.p, '\n', head.n);
    while (line && ++line < end) {
        const char *stop = memchr(line, '\r', (size_t)(end - line));
        if (!stop) break;
        if ((size_t)(stop - line) > length && line[length] == ':' && !strncasecmp(line, name, length)) {
            const char *value = line + length + 1;
            while (value < stop && (*value == ' ' || *value == '\t')) value++;
            while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t')) stop--;
            return (span){value, (size_t)(stop - value)};
        }
        line = memchr(stop, '\n', (size_t)(end - stop));
    }
    return (span){NULL, 0};
}

static bool header_is(span head, const char *name, const char *value) {
    span s = http_header(head, name);
    return s.p && s.n == strlen(value) && !strncasecmp(s.p, value, s.n);
}

/* Decode a chunked body into `out`. Bytes consumed; 0: not all there yet; -1: malformed. */
static long http_chunked(const char *p, size_t n, buf *out) {
    const char *start = p, *end = p + n;
    out->n = 0;
    for (;;) {
        const char *eol = memmem(p, (size_t)(end - p), "\r\n", 2);
        if (!eol) return 0;
        char *after;
        unsigned long size = strtoul(p, &after, 16);
        if (after == p || size > (1ul << 30)) return -1;
        p = eol + 2;
        if (!size) {
            /* trailers, then an empty line */
            for (;;) {
                eol = memmem(p, (size_t)(end - p), "\r\n", 2);
                if (!eol) return 0;
                if (eol == p) return p + 2 - start;
                p = eol + 2;
            }
        }
        if ((size_t)(end - p) < size + 2) return 0;
        buf_add(out, p, size);
        p += size + 2;
    }
}

/* One HTTP message at the start of a buffer.
 *
 * Gives the bytes it takes up; 0: not all there yet; -1: malformed. `body` points into `in` or into `decoded`.
 * `to_close`: a response without a length ends with its connection (`ended` says that it did). */
static long http_message(const buf *in, buf *decoded, bool to_close, bool ended, span *head, span *body) {
    const char *blank = in->n >= 4 ? memmem(in->p, in->n, "\r\n\r\n", 4) : NULL;
    if (!blank) return in->n > 65536 ? -1 : 0;
    *head = (span){in->p, (size_t)(blank + 4 - in->p)};
    const char *rest = in->p + head->n;
    size_t left = in->n - head->n;
    span length = http_header(*head, "content-length");
    if (length.p) {
        size_t n = strtoul(length.p, NULL, 10);
        if (left < n) return 0;
        *body = (span){rest, n};
        return (long)(head->n + n);
    }
    if (header_is(*head, "transfer-encoding", "chunked")) {
        long n = http_chunked(rest, left, decoded);
        if (n <= 0) return n;
        *body = (span){decoded->p, decoded->n};
        return (long)head->n + n;
    }
    if (to_close && !ended) return 0;
    *body = (span){rest, to_close ? left : 0};
    return (long)(head->n + body->n);
}

static void raise_file_limit(void) {
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

#endif
