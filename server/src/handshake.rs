//! A WebSocket handshake as clients send it, told from the bytes alone. Whatever else a request may be is for actix-web.

use actix_http::ws::hash_key;

/// More headers than a browser sends; a request with more is none of these.
const MAX_HEADERS: usize = 64;

const ANSWER: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: ";

/// Base64 of a SHA-1 sum.
const ACCEPT_LEN: usize = 28;

const ANSWER_LEN: usize = ANSWER.len() + ACCEPT_LEN + 4;

/// A request to upgrade, which actix-web would grant too if its route asked for no more.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake<'a> {
    pub(crate) host: &'a str,
    pub(crate) origin: Option<&'a str>,
    /// `X-Forwarded-For`.
    pub(crate) forwarded: Option<&'a [u8]>,
    /// Whether there is an `Authorization`.
    pub(crate) authorization: bool,
    /// Whether there is a `Cookie`.
    pub(crate) cookie: bool,
    /// How many bytes it has; what follows are frames.
    pub(crate) len: usize,
    key: &'a [u8],
}

impl<'a> Handshake<'a> {
    /// The handshake for exactly `path` at the front of `bytes`; `None` when it is not whole, or anything about it
    /// is out of the ordinary.
    pub(crate) fn parse(bytes: &'a [u8], path: &str) -> Option<Self> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let Ok(httparse::Status::Complete(len)) = request.parse(bytes) else { return None };
        if request.method != Some("GET") || request.path != Some(path) || request.version != Some(1) {
            return None;
        }
        let (mut host, mut origin, mut key, mut forwarded) = (None, None, None, None);
        let (mut connection, mut upgrade, mut version) = (None, None, None);
        let (mut authorization, mut cookie) = (None, None);
        for header in request.headers {
            let is = |name| header.name.eq_ignore_ascii_case(name);
            let place = match header.name.len() {
                4 if is("host") => &mut host,
                6 if is("origin") => &mut origin,
                6 if is("expect") => return None,
                6 if is("cookie") => &mut cookie,
                7 if is("upgrade") => &mut upgrade,
                10 if is("connection") => &mut connection,
                13 if is("authorization") => &mut authorization,
                14 if is("content-length") => return None,
                15 if is("x-forwarded-for") => &mut forwarded,
                17 if is("transfer-encoding") => return None,
                17 if is("sec-websocket-key") => &mut key,
                21 if is("sec-websocket-version") => &mut version,
                _ => continue,
            };
            if place.replace(header.value).is_some() {
                return None;
            }
        }
        let text = |value: &'a [u8]| std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
        let mut options = text(connection?)?.split(',').map(str::trim);
        let upgrades = options.clone().any(|option| option.eq_ignore_ascii_case("upgrade"))
            && !options.any(|option| option.eq_ignore_ascii_case("close"));
        if !upgrades || !upgrade?.eq_ignore_ascii_case(b"websocket") || version? != b"13" {
            return None;
        }
        let key = key.filter(|key| is_nonce(key))?;
        let origin = match origin {
            Some(origin) => Some(text(origin)?),
            None => None,
        };
        let (authorization, cookie) = (authorization.is_some(), cookie.is_some());
        Some(Self { host: text(host?)?, origin, forwarded, authorization, cookie, len, key })
    }

    /// The head of the answer that grants it.
    pub(crate) fn answer(&self) -> [u8; ANSWER_LEN] {
        let mut answer = [0; ANSWER_LEN];
        let (head, rest) = answer.split_at_mut(ANSWER.len());
        let (accept, end) = rest.split_at_mut(ACCEPT_LEN);
        head.copy_from_slice(ANSWER);
        accept.copy_from_slice(&hash_key(self.key));
        end.copy_from_slice(b"\r\n\r\n");
        answer
    }
}

/// Whether it is base64 of 16 bytes: 22 digits, of which the last carries two bits only.
fn is_nonce(key: &[u8]) -> bool {
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    matches!(key, [digits @ .., last, b'=', b'=']
        if digits.len() == 21 && digits.iter().all(digit) && b"AQgw".contains(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "GET /rt HTTP/1.1\r\nHost: a.example:8080\r\nConnection: keep-alive, Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\nUser-Agent: \u{e9}\r\n";

    fn parse(text: &str) -> Option<Handshake<'_>> {
        Handshake::parse(text.as_bytes(), "/rt")
    }

    #[test]
    fn an_ordinary_handshake() {
        let text = format!("{PLAIN}Origin: https://b.example\r\n\r\n");
        let bytes = [text.as_bytes(), b"\x81\x80\0\0\0\0"].concat();
        let handshake = Handshake::parse(&bytes, "/rt").expect("a handshake");
        assert_eq!((handshake.host, handshake.origin), ("a.example:8080", Some("https://b.example")));
        assert_eq!(&bytes[handshake.len..], b"\x81\x80\0\0\0\0");
        let answer = String::from_utf8(handshake.answer().to_vec()).expect("text");
        assert!(answer.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{answer}");
        assert!(answer.ends_with("sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"), "{answer}");
        let text = format!("{PLAIN}\r\n");
        let plain = parse(&text).expect("a handshake");
        assert_eq!((plain.origin, plain.forwarded), (None, None));
        assert_eq!((plain.authorization, plain.cookie), (false, false));
        let text = format!("{PLAIN}X-Forwarded-For: 192.0.2.1\r\n\r\n");
        assert_eq!(parse(&text).expect("a handshake").forwarded, Some(&b"192.0.2.1"[..]));
        let text = format!("{PLAIN}Authorization: Bearer a\r\ncookie: a=1\r\n\r\n");
        let known = parse(&text).expect("a handshake");
        assert_eq!((known.authorization, known.cookie), (true, true));
    }

    #[test]
    fn no_part_of_one_is_one() {
        let text = format!("{PLAIN}\r\n");
        for end in 0..text.len() {
            assert_eq!(Handshake::parse(&text.as_bytes()[..end], "/rt"), None, "{end}");
        }
    }

    #[test]
    fn anything_out_of_the_ordinary_is_left_to_others() {
        for header in [
            "Content-Length: 0",
            "Transfer-Encoding: chunked",
            "Expect: 100-continue",
            "Host: a.example",
            "Connection: close",
            "Upgrade: h2c",
            "Sec-WebSocket-Key: x",
            "Sec-WebSocket-Version: 13",
            "Origin: \u{e9}",
            "Origin: a\r\nOrigin: a",
            "X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-For: 192.0.2.2",
            "bad header: x",
        ] {
            assert_eq!(parse(&format!("{PLAIN}{header}\r\n\r\n")), None, "{header}");
        }
        for (ordinary, other) in [
            ("GET /rt ", "POST /rt "),
            ("GET /rt ", "GET /rt?a=b "),
            ("GET /rt ", "GET /rt/ "),
            ("GET /rt ", "GET http://a.example:8080/rt "),
            ("HTTP/1.1", "HTTP/1.0"),
            ("keep-alive, Upgrade", "keep-alive"),
            ("keep-alive, Upgrade", "close, Upgrade"),
            ("keep-alive, Upgrade", "\u{e9}, Upgrade"),
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("Upgrade: websocket\r\n", ""),
            ("Version: 13", "Version: 8"),
            ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""),
            ("Host: a.example:8080\r\n", ""),
            ("dGhlIHNhbXBsZSBub25jZQ==", ""),
            ("dGhlIHNhbXBsZSBub25jZQ==", "x"),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZ==="),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZR=="),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j*Q=="),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZTI="),
        ] {
            assert_eq!(parse(&format!("{}\r\n", PLAIN.replacen(ordinary, other, 1))), None, "{other}");
        }
    }
}
