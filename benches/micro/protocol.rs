//! What the protocol costs without sockets and threads: make bench-micro.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wstrand::internals::{self, Decoder, Encoder};

const SIZES: [usize; 5] = [20, 128, 1024, 16 << 10, 1 << 20];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Text of exactly `len` bytes with characters of every width.
fn mixed(len: usize) -> Vec<u8> {
    let unit = "aé漢🦀";
    let mut text = unit.repeat(len / unit.len());
    text.push_str(&"x".repeat(len - text.len()));
    text.into_bytes()
}

/// What a client sends: `count` messages.
fn sent(is_text: bool, payload: &[u8], count: usize) -> Vec<u8> {
    let mut encoder = Encoder::client();
    let mut bytes = Vec::new();
    for _ in 0..count {
        encoder.message(is_text, payload, &mut bytes);
    }
    bytes
}

fn masking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("masking");
    for size in SIZES {
        let payload = vec![7; size];
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::new("in place", size), &size, |bencher, _| {
            let mut payload = payload.clone();
            bencher.iter(|| internals::apply_mask(black_box(&mut payload), black_box(KEY)));
        });
        group.bench_with_input(
            BenchmarkId::new("while copied", size),
            &size,
            |bencher, _| {
                let mut out = Vec::with_capacity(size);
                bencher.iter(|| {
                    out.clear();
                    internals::extend_masked(&mut out, black_box(&payload), black_box(KEY));
                    black_box(&out);
                });
            },
        );
    }
}

fn headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header");
    for size in [20, 1024, 1 << 20] {
        let frame = sent(false, &vec![7; size], 1);
        group.bench_with_input(BenchmarkId::new("parse", size), &frame, |bencher, frame| {
            bencher.iter(|| internals::parse_header(black_box(frame)));
        });
        group.bench_with_input(BenchmarkId::new("make", size), &size, |bencher, &size| {
            bencher.iter(|| internals::make_header(black_box(size), black_box(KEY)));
        });
    }
}

fn text(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("utf8");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        for (kind, text) in [("ascii", vec![b'x'; size]), ("mixed", mixed(size))] {
            group.bench_with_input(BenchmarkId::new(kind, size), &text, |bencher, text| {
                bencher.iter(|| internals::is_text(black_box(text)));
            });
        }
        group.bench_with_input(
            BenchmarkId::new("mixed, in pieces of 1000", size),
            &mixed(size),
            |bencher, text| {
                bencher.iter(|| internals::are_text(black_box(text).chunks(1000)));
            },
        );
    }
}

/// 64 messages at a time, so that what a read costs besides is shared as it is under load.
const TOGETHER: usize = 64;

fn messages(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("message");
    for size in SIZES {
        let together = if size > 65536 { 1 } else { TOGETHER };
        group.throughput(Throughput::Elements(together as u64));
        for (kind, is_text, payload) in [
            ("binary", false, vec![7; size]),
            ("mixed text", true, mixed(size)),
        ] {
            let frames = sent(is_text, &payload, together);
            group.bench_with_input(
                BenchmarkId::new(format!("decode {kind}"), size),
                &frames,
                |bencher, frames| {
                    let mut decoder = Decoder::default();
                    bencher.iter(|| decoder.receive(black_box(frames)));
                },
            );
        }
        let payload = vec![7; size];
        for (side, mut encoder) in [("server", Encoder::server()), ("client", Encoder::client())] {
            group.bench_with_input(
                BenchmarkId::new(format!("encode, {side}"), size),
                &payload,
                |bencher, payload| {
                    let mut out = Vec::new();
                    bencher.iter(|| {
                        out.clear();
                        for _ in 0..together {
                            encoder.message(false, black_box(payload), &mut out);
                        }
                        black_box(&out);
                    });
                },
            );
        }
    }
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .without_plots()
}

criterion_group! {
    name = protocol;
    config = short();
    targets = masking, headers, text, messages
}
criterion_main!(protocol);
