//! Section 7.1 of RFC 7692: offers in, answers out.

use http::{HeaderMap, HeaderValue};

use super::*;
use crate::handshake::extensions;

fn parse(value: &str) -> Vec<Extension> {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::from_str(value).unwrap();
    headers.append("sec-websocket-extensions", value);
    extensions::parse(&headers).unwrap()
}

/// What a server that is set so answers to these offers.
fn answer(deflate: &Deflate, offers: &str) -> Option<String> {
    let agreed = deflate.choose(&parse(offers))?;
    Some(agreed.to_string())
}

fn deflate(set: impl Fn(&mut Deflate)) -> Deflate {
    let mut deflate = Deflate::new();
    set(&mut deflate);
    deflate
}

const WRONG: HandshakeError = HandshakeError::Header {
    name: "sec-websocket-extensions",
    problem: HeaderProblem::Wrong,
};

#[test]
fn a_server_grants_what_an_offer_asks_for() {
    let any = Deflate::new();
    for (offer, expected) in [
        ("permessage-deflate", "permessage-deflate"),
        (
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate",
        ),
        (
            "permessage-deflate; client_max_window_bits=10",
            "permessage-deflate; client_max_window_bits=10",
        ),
        (
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=8",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=8",
        ),
        (
            "permessage-deflate; client_no_context_takeover; server_max_window_bits=\"12\"",
            "permessage-deflate; server_max_window_bits=12; client_no_context_takeover",
        ),
        // RFC 7692, section 7.1.2.1: the server accepts it by including it. Python's `websockets` insists.
        (
            "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15",
            "permessage-deflate; server_max_window_bits=15",
        ),
    ] {
        assert_eq!(answer(&any, offer).as_deref(), Some(expected), "{offer}");
    }
}

#[test]
fn a_server_makes_its_own_demands_where_the_client_can_meet_them() {
    let strict = deflate(|deflate| {
        deflate
            .server_no_context_takeover(true)
            .client_no_context_takeover(true)
            .server_max_window_bits(11)
            .client_max_window_bits(9);
    });
    assert_eq!(
        answer(&strict, "permessage-deflate; client_max_window_bits").unwrap(),
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=11; \
         client_no_context_takeover; client_max_window_bits=9"
    );
    assert_eq!(
        answer(
            &strict,
            "permessage-deflate; client_max_window_bits=8; server_max_window_bits=10"
        )
        .unwrap(),
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; \
         client_no_context_takeover; client_max_window_bits=8"
    );
    // RFC 7692, section 7.1.2.2: a client that did not say so must not be asked.
    assert_eq!(
        answer(&strict, "permessage-deflate").unwrap(),
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=11; \
         client_no_context_takeover"
    );
}

/// RFC 7692, section 7.1: such an offer is declined, and the next one looked at.
#[test]
fn a_server_declines_offers_that_it_does_not_understand_and_takes_the_next() {
    let any = Deflate::new();
    for bad in [
        "permessage-deflate; unknown",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=10; client_max_window_bits=10",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=+9",
        "permessage-deflate; client_max_window_bits=0",
        "permessage-deflate; client_max_window_bits=1",
        "permessage-deflate; client_max_window_bits=99999999999999999999",
        "permessage-deflate; Client_max_window_bits",
        "permessage-bzip2",
        "x-webkit-deflate-frame",
        "Permessage-Deflate",
    ] {
        assert_eq!(answer(&any, bad), None, "{bad}");
        let with_next = format!("{bad}, permessage-deflate; server_max_window_bits=9, foo");
        assert_eq!(
            answer(&any, &with_next).as_deref(),
            Some("permessage-deflate; server_max_window_bits=9"),
            "{bad}"
        );
    }
}

#[test]
fn a_client_offers_what_it_is_set_to() {
    assert_eq!(
        Deflate::new().offer(),
        "permessage-deflate; client_max_window_bits"
    );
    let all = deflate(|deflate| {
        deflate
            .server_no_context_takeover(true)
            .client_no_context_takeover(true)
            .server_max_window_bits(10)
            .client_max_window_bits(11);
    });
    assert_eq!(
        all.offer(),
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; \
         client_no_context_takeover; client_max_window_bits=11"
    );
}

#[test]
fn a_client_takes_an_answer_that_its_offer_allows() {
    let judge = |deflate: &Deflate, answer: &str| deflate.judge(&parse(answer)).unwrap().unwrap();
    let plain = judge(&Deflate::new(), "permessage-deflate");
    assert_eq!(plain.server.max_window_bits, 15);
    assert_eq!(plain.client.max_window_bits, 15);
    assert!(!plain.server.no_context_takeover && !plain.client.no_context_takeover);

    let told = judge(
        &Deflate::new(),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=9; client_max_window_bits=\"8\"",
    );
    assert_eq!(told.server.max_window_bits, 9);
    assert_eq!(told.client.max_window_bits, 8);
    assert!(told.server.no_context_takeover && told.client.no_context_takeover);
    let full = "permessage-deflate; server_max_window_bits=15; client_max_window_bits=15";
    assert_eq!(judge(&Deflate::new(), full).to_string(), full);

    // What it has said of itself it does, whether the server repeats it or not.
    let own = deflate(|deflate| {
        deflate
            .client_no_context_takeover(true)
            .client_max_window_bits(9);
    });
    let agreed = judge(&own, "permessage-deflate");
    assert!(agreed.client.no_context_takeover);
    assert_eq!(agreed.client.max_window_bits, 9);
    assert_eq!(Deflate::new().judge(&[]).unwrap(), None);
}

#[test]
fn a_client_refuses_an_answer_that_its_offer_does_not_allow() {
    let refused = |deflate: &Deflate, answer: &str| deflate.judge(&parse(answer)).unwrap_err();
    for answer in [
        "permessage-deflate; unknown",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate, permessage-deflate",
    ] {
        let error = refused(&Deflate::new(), answer);
        assert_eq!(error.to_string(), WRONG.to_string(), "{answer}");
    }
    for answer in ["foo", "permessage-deflate, foo", "foo, permessage-deflate"] {
        let error = refused(&Deflate::new(), answer);
        assert!(
            matches!(&error, HandshakeError::Extension(name) if name == "foo"),
            "{error}"
        );
    }
    // It asked for these, and must get them.
    let demanding = deflate(|deflate| {
        deflate
            .server_no_context_takeover(true)
            .server_max_window_bits(10)
            .client_max_window_bits(11);
    });
    for answer in [
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=11",
        "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; \
         client_max_window_bits=12",
    ] {
        let error = refused(&demanding, answer);
        assert_eq!(error.to_string(), WRONG.to_string(), "{answer}");
    }
    let fits = "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; \
                client_max_window_bits=11";
    assert!(demanding.judge(&parse(fits)).unwrap().is_some());
}

/// Every pair of settings comes to an agreement that both ends understand alike.
#[test]
fn both_ends_agree_on_the_same() {
    let mut agreed_on = 0;
    for flags in 0..16 {
        for bits in [
            [15, 15, 15, 15],
            [8, 15, 9, 15],
            [15, 10, 12, 11],
            [12, 9, 15, 15],
        ] {
            let client = deflate(|deflate| {
                deflate
                    .server_no_context_takeover(flags & 1 > 0)
                    .client_no_context_takeover(flags & 2 > 0)
                    .server_max_window_bits(bits[0])
                    .client_max_window_bits(bits[1]);
            });
            let server = deflate(|deflate| {
                deflate
                    .server_no_context_takeover(flags & 4 > 0)
                    .client_no_context_takeover(flags & 8 > 0)
                    .server_max_window_bits(bits[2])
                    .client_max_window_bits(bits[3]);
            });
            let chosen = server.choose(&parse(&client.offer())).unwrap();
            let judged = client.judge(&parse(&chosen.to_string())).unwrap().unwrap();
            assert_eq!(judged.server, chosen.server);
            assert_eq!(judged.client, chosen.client);
            agreed_on += 1;
        }
    }
    assert_eq!(agreed_on, 64);
}

#[test]
fn values_out_of_range_are_refused() {
    assert!(Deflate::new().check().is_ok());
    for bad in [
        deflate(|deflate| {
            deflate.level(10);
        }),
        deflate(|deflate| {
            deflate.server_max_window_bits(7);
        }),
        deflate(|deflate| {
            deflate.client_max_window_bits(16);
        }),
    ] {
        assert!(bad.check().is_err(), "{bad:?}");
    }
}
