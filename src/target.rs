//! What a URL says, and where a redirect leads.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use url::{ParseError, Url};

use crate::{Misuse, Refusal};

/// What a URL says (RFC 6455, section 3).
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) is_secure: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What goes into the Host header.
    pub(crate) authority: String,
    pub(crate) path_and_query: String,
    /// User name and password, as Basic credentials have them.
    pub(crate) basic: Option<String>,
    url: Url,
}

impl Target {
    pub(crate) fn parse(url: &str) -> Result<Self, Misuse> {
        // The URL parser would drop some of these without a word.
        if url.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err(Misuse::Url("has a blank or a control character"));
        }
        // It would also make a host of the first thing it finds behind any number of slashes, or none.
        let no_host = || Misuse::Url("has no host");
        let (_, rest) = url.split_once(':').ok_or_else(no_host)?;
        let rest = rest.strip_prefix("//").ok_or_else(no_host)?;
        if rest.starts_with(['/', '\\']) {
            return Err(no_host());
        }
        let url = Url::parse(url).map_err(|error| {
            Misuse::Url(match error {
                ParseError::EmptyHost => "has no host",
                ParseError::InvalidPort => "has a port that is none",
                ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address => {
                    "has an IP address that is none"
                }
                ParseError::IdnaError | ParseError::InvalidDomainCharacter => {
                    "has a host name that cannot be one"
                }
                _ => "cannot be parsed",
            })
        })?;
        let is_secure = match url.scheme() {
            "ws" => false,
            "wss" => true,
            _ => return Err(Misuse::Url("must begin with ws:// or wss://")),
        };
        // "Fragment identifiers are meaningless … and MUST NOT be used" (RFC 6455, section 3).
        if url.fragment().is_some() {
            return Err(Misuse::Url("has a fragment"));
        }
        let basic = (!url.username().is_empty() || url.password().is_some()).then(|| {
            let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
            pair.push(b':');
            pair.extend(percent_decode_str(url.password().unwrap_or_default()));
            STANDARD.encode(pair)
        });
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or_default();
        if host.is_empty() {
            return Err(no_host());
        }
        if port == 0 {
            return Err(Misuse::Url("has port 0"));
        }
        // The default port is left out, as browsers do.
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let mut path_and_query = url.path().to_owned();
        if let Some(query) = url.query() {
            path_and_query.push('?');
            path_and_query.push_str(query);
        }
        Ok(Self {
            is_secure,
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority,
            path_and_query,
            basic,
            url,
        })
    }

    /// Where a refusal sends us, if it does and we may go there.
    pub(crate) fn redirect(&self, refusal: &Refusal) -> Option<Self> {
        if !matches!(refusal.status.as_u16(), 301 | 302 | 303 | 307 | 308) {
            return None;
        }
        let location = refusal.headers.get("location")?.to_str().ok()?;
        let mut location = self.url.join(location).ok()?;
        // It may have one (RFC 9110, section 10.2.2), which means nothing here.
        location.set_fragment(None);
        let scheme = match location.scheme() {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            _ => return None,
        };
        let (_, rest) = location.as_str().split_once(':')?;
        let mut next = Self::parse(&format!("{scheme}:{rest}")).ok()?;
        if self.is_secure && !next.is_secure {
            return None;
        }
        if next.basic.is_none() && next.is_same_place(self) {
            next.basic.clone_from(&self.basic);
        }
        Some(next)
    }

    pub(crate) fn is_same_place(&self, other: &Self) -> bool {
        (self.is_secure, &self.host, self.port) == (other.is_secure, &other.host, other.port)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let cases = [
            (
                "ws://example.com",
                false,
                "example.com",
                80,
                "example.com",
                "/",
            ),
            (
                "ws://example.com:80/a",
                false,
                "example.com",
                80,
                "example.com",
                "/a",
            ),
            (
                "WS://EXAMPLE.com:8080/?q=1",
                false,
                "example.com",
                8080,
                "example.com:8080",
                "/?q=1",
            ),
            (
                "wss://example.com:443/",
                true,
                "example.com",
                443,
                "example.com",
                "/",
            ),
            (
                "wss://example.com:80/",
                true,
                "example.com",
                80,
                "example.com:80",
                "/",
            ),
            (
                "ws://127.0.0.1:9/x%20y?z",
                false,
                "127.0.0.1",
                9,
                "127.0.0.1:9",
                "/x%20y?z",
            ),
            ("ws://[::1]:9001/", false, "::1", 9001, "[::1]:9001", "/"),
            (
                "ws://b\u{fc}cher.example/\u{fc}",
                false,
                "xn--bcher-kva.example",
                80,
                "xn--bcher-kva.example",
                "/%C3%BC",
            ),
        ];
        for (url, is_secure, host, port, authority, path_and_query) in cases {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.is_secure, is_secure, "{url}");
            assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
            assert_eq!(target.authority, authority, "{url}");
            assert_eq!(target.path_and_query, path_and_query, "{url}");
            assert_eq!(target.basic, None, "{url}");
        }
    }

    #[test]
    fn user_name_and_password_become_basic_credentials_and_show_nowhere_else() {
        let target = Target::parse("ws://me:p%40ss@example.com/a").unwrap();
        assert_eq!(target.basic.as_deref(), Some("bWU6cEBzcw=="));
        assert_eq!(
            (target.authority.as_str(), target.path_and_query.as_str()),
            ("example.com", "/a")
        );
        assert_eq!(
            Target::parse("ws://me@h/").unwrap().basic.as_deref(),
            Some("bWU6")
        );
    }

    #[test]
    fn urls_that_cannot_be_used_say_why() {
        for url in [
            "",
            "ws://",
            "example.com",
            "http://example.com",
            "ftp://x",
            "ws:///path",
            "ws:host",
            "ws:host/?from=http://elsewhere/",
            "ws:/host/a://b",
            "ws://\\host/",
            "ws://host:0/",
            "ws://host:65536/",
            "ws://host:x/",
            "ws://host/#fragment",
            "ws://host/#",
            "ws://ho st/",
            "ws://host/a b",
            "ws://host/a\r\nX: y",
            "ws://host/\t",
            "ws://host\u{7f}/",
            " ws://host/",
            "ws://[::1/",
        ] {
            assert!(matches!(Target::parse(url), Err(Misuse::Url(_))), "{url:?}");
        }
    }

    fn redirect(from: &str, status: u16, location: &str) -> Option<Target> {
        let mut headers = HeaderMap::new();
        headers.insert("location", location.parse().unwrap());
        let refusal = Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Vec::new(),
        };
        Target::parse(from).unwrap().redirect(&refusal)
    }

    #[test]
    fn redirects_lead_to_another_place_but_never_out_of_tls() {
        for (from, location, authority, path, secure) in [
            ("ws://a/x", "/y", "a", "/y", false),
            ("ws://a/x/z", "y?q", "a", "/x/y?q", false),
            ("ws://a/", "http://b:81/", "b:81", "/", false),
            ("ws://a/", "https://a/", "a", "/", true),
            ("wss://a/", "wss://b/c", "b", "/c", true),
            ("wss://a/", "//b/c", "b", "/c", true),
        ] {
            let target = redirect(from, 302, location).unwrap();
            assert_eq!(target.authority, authority, "{from} {location}");
            assert_eq!(target.path_and_query, path, "{from} {location}");
            assert_eq!(target.is_secure, secure, "{from} {location}");
        }
        assert!(redirect("wss://a/", 302, "ws://a/").is_none());
        assert!(redirect("wss://a/", 302, "http://a/").is_none());
        assert!(redirect("ws://a/", 302, "ftp://a/").is_none());
        assert!(redirect("ws://a/", 404, "/y").is_none());
    }

    #[test]
    fn credentials_follow_only_to_the_same_place() {
        let basic = |location| redirect("ws://me:x@a/", 307, location).unwrap().basic;
        assert!(basic("/other").is_some());
        for elsewhere in ["ws://b/", "ws://a:81/", "wss://a/"] {
            assert_eq!(basic(elsewhere), None, "{elsewhere}");
        }
    }

    /// URLs, and things that are nearly URLs.
    fn url() -> impl Strategy<Value = String> {
        let scheme = "(ws|wss|WS|http)";
        let user = "([a-z%@:]{0,5}@)?";
        let host = prop_oneof![
            "[a-z\u{fc}0-9.-]{1,12}",
            "[0-9]{1,3}(\\.[0-9]{1,3}){3}",
            "\\[[0-9a-f:]{2,9}\\]",
            "\\PC{0,4}",
        ];
        let rest = "(:[0-9]{0,5})?(/[!-~\u{e9}]{0,15})?";
        let url = (scheme, user, host, rest)
            .prop_map(|(scheme, user, host, rest)| format!("{scheme}://{user}{host}{rest}"));
        prop_oneof![9 => url, 1 => any::<String>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 10 } else { 1000 }))]

        #[test]
        fn the_parts_of_a_url_are_clean_and_make_the_same_url_again(url in url()) {
            let Ok(target) = Target::parse(&url) else {
                return Ok(());
            };
            let is_clean = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
            prop_assert!(is_clean(&target.authority) && is_clean(&target.path_and_query));
            prop_assert!(!target.host.is_empty() && target.port != 0);
            prop_assert!(target.path_and_query.starts_with('/'));
            prop_assert!(!target.path_and_query.contains('#') && !target.authority.contains('@'));
            let scheme = if target.is_secure { "wss" } else { "ws" };
            let again = format!("{scheme}://{}{}", target.authority, target.path_and_query);
            let again = Target::parse(&again).unwrap();
            prop_assert!(again.is_same_place(&target));
            prop_assert_eq!(again.path_and_query, target.path_and_query);
        }

        #[test]
        fn no_redirect_leads_out_of_tls_or_takes_credentials_elsewhere(
            from in "wss?://(me:x@)?[ab]{1,2}(:8[01])?/",
            location in prop_oneof![1 => url(), 1 => "(wss?:|https?:)?(//)?[ab]{0,2}(:8[01])?/[a-z/.]{0,5}"],
        ) {
            let before = Target::parse(&from).unwrap();
            if !location.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
                return Ok(());
            }
            let Some(after) = redirect(&from, 302, &location) else {
                return Ok(());
            };
            prop_assert!(after.is_secure || !before.is_secure);
            if after.basic.is_some() && !location.contains('@') {
                prop_assert!(after.is_same_place(&before));
                prop_assert_eq!(after.basic, before.basic);
            }
        }
    }
}
