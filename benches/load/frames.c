/* What is sent: payloads that look like the kind asked for, in frames masked before the run, so that nothing but
 * writing, reading and comparing is left for the run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "wsload.h"

struct frames frames;

static uint32_t random_word(void)
{
    static uint32_t state = 0x9e3779b9u;
    state ^= state << 13;
    state ^= state >> 17;
    return state ^= state << 5;
}

static void fill_utf8(uint8_t *payload, size_t size)
{
    static const char *const characters[] = {
        "a", "Z", " ", "\xc3\xa9", "\xd0\x96", "\xe4\xb8\xad", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
    };
    size_t at = 0;
    while (at < size) {
        const char *character = characters[random_word() % 8];
        size_t length = strlen(character);
        if (at + length > size) {
            payload[at++] = 'x';
            continue;
        }
        memcpy(payload + at, character, length);
        at += length;
    }
}

/* Repetitive in the way of an API's answers, and compresses like them. */
static void fill_json(uint8_t *payload, size_t size)
{
    static const char *const names[] = {"alpha", "bravo", "charlie", "delta", "echo", "foxtrot"};
    char record[160];
    size_t at = 0;
    while (at < size) {
        int length = snprintf(record, sizeof record,
            "{\"id\":%u,\"user\":\"%s\",\"price\":%u.%02u,\"active\":%s,\"tags\":[\"%s\",\"%s\"]},",
            random_word() % 100000, names[random_word() % 6], random_word() % 1000, random_word() % 100,
            random_word() & 1 ? "true" : "false", names[random_word() % 6], names[random_word() % 6]);
        for (int i = 0; i < length && at < size; i++)
            payload[at++] = (uint8_t)record[i];
    }
}

static void fill(uint8_t *payload, size_t size)
{
    switch (options.kind) {
    case BINARY:
        for (size_t i = 0; i < size; i++)
            payload[i] = (uint8_t)random_word();
        break;
    case TEXT:
        for (size_t i = 0; i < size; i++)
            payload[i] = (uint8_t)(' ' + random_word() % 95);
        break;
    case UTF8:
        fill_utf8(payload, size);
        break;
    case JSON:
        fill_json(payload, size);
        break;
    }
}

size_t put_masked_header(uint8_t *header, int first_byte, size_t length, const uint8_t key[4])
{
    size_t at = 0;
    header[at++] = (uint8_t)first_byte;
    if (length < 126) {
        header[at++] = (uint8_t)(0x80 | length);
    } else if (length < 65536) {
        header[at++] = 0x80 | 126;
        header[at++] = (uint8_t)(length >> 8);
        header[at++] = (uint8_t)length;
    } else {
        header[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            header[at++] = (uint8_t)((uint64_t)length >> shift);
    }
    memcpy(header + at, key, 4);
    return at + 4;
}

/* Each message by itself, so that the frames can go out in any order (RFC 7692, section 7.2.1). Returns the length;
 * the caller frees *out. */
static size_t compress_message(uint8_t *payload, uint8_t **out)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, 6, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        die("zlib does not start");
    size_t capacity = deflateBound(&stream, options.size) + 64;
    *out = malloc(capacity);
    if (*out == NULL)
        die("out of memory");
    stream.next_in = payload;
    stream.avail_in = (uInt)options.size;
    stream.next_out = *out;
    stream.avail_out = (uInt)capacity;
    if (deflate(&stream, Z_SYNC_FLUSH) != Z_OK)
        die("a message does not compress");
    size_t length = capacity - stream.avail_out - 4; /* without the flush's 00 00 ff ff */
    deflateEnd(&stream);
    return length;
}

/* Returns a frame that the caller frees, and its length. */
static uint8_t *build_frame(uint8_t *payload, size_t *frame_length)
{
    const uint8_t *body = payload;
    size_t length = options.size;
    uint8_t *compressed = NULL;
    int first_byte = options.kind == BINARY ? 0x82 : 0x81;
    if (options.deflate) {
        length = compress_message(payload, &compressed);
        body = compressed;
        first_byte |= 0x40;
    }
    uint32_t word = random_word() | 0x01010101u;
    uint8_t key[4];
    memcpy(key, &word, sizeof key);
    uint8_t *frame = malloc(length + 14);
    if (frame == NULL)
        die("out of memory");
    size_t header = put_masked_header(frame, first_byte, length, key);
    for (size_t i = 0; i < length; i++)
        frame[header + i] = body[i] ^ key[i % 4];
    free(compressed);
    *frame_length = header + length;
    return frame;
}

void build_frames(void)
{
    unsigned distinct = options.size <= 4096 ? 16 : options.size <= 65536 ? 4 : 2;
    /* Twice a compressor's window: one that still has the message of the last turn just refers to it. */
    if (options.deflate && distinct * options.size < 2 * 32768)
        distinct = (unsigned)(2 * 32768 / options.size);
    unsigned all = distinct + (unsigned)options.depth;
    uint8_t **built = calloc(distinct, sizeof *built);
    size_t *lengths = calloc(distinct, sizeof *lengths);

    frames.distinct = distinct;
    frames.whole_every = options.size <= 4096 ? 1 : 8;
    frames.payloads = calloc(distinct, sizeof *frames.payloads);
    frames.offsets = malloc((all + 1) * sizeof *frames.offsets);
    if (built == NULL || lengths == NULL || frames.payloads == NULL || frames.offsets == NULL)
        die("out of memory");
    for (unsigned i = 0; i < distinct; i++) {
        frames.payloads[i] = malloc(options.size + 1);
        if (frames.payloads[i] == NULL)
            die("out of memory");
        fill(frames.payloads[i], options.size);
        built[i] = build_frame(frames.payloads[i], &lengths[i]);
    }
    frames.offsets[0] = 0;
    for (unsigned i = 0; i < all; i++)
        frames.offsets[i + 1] = frames.offsets[i] + lengths[i % distinct];
    frames.bytes = malloc(frames.offsets[all]);
    if (frames.bytes == NULL)
        die("out of memory");
    for (unsigned i = 0; i < all; i++)
        memcpy(frames.bytes + frames.offsets[i], built[i % distinct], lengths[i % distinct]);
    for (unsigned i = 0; i < distinct; i++)
        free(built[i]);
    free(built);
    free(lengths);
}
