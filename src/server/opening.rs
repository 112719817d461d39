//! The opening handshake of a server's connection (RFC 6455, section 4.2), on the connection's own thread.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use http::{HeaderMap, StatusCode};

use crate::{
    Answer, Error, HandshakeError, Phase, Receiver, Request, Response, Result, WebSocket,
    connection::shared::{Opened, Shared},
    handshake::{deflate::Agreed, origin::check_origin, server},
    net::{
        Stream, http_exchange,
        socket::{Socket, Wait},
    },
    protocol::{CloseFrame, Role, close::code},
    server::{
        Config, Serve,
        control::{Stage, Tenancy},
    },
};

/// Opens a connection and has it served, until `serve` returns.
pub(super) fn serve_connection(
    socket: Socket,
    tenancy: Arc<Tenancy>,
    config: &Config,
    serve: &Serve,
) {
    match open(socket, tenancy.clone(), config) {
        Ok(ws) => {
            drop(tenancy); // the connection has its own
            serve(ws);
        }
        Err(error) => {
            tenancy.has_failed(&error);
            log::debug!(target: "wstrand", "refused a connection: {error}");
        }
    }
}

#[inline(never)] // its frame is large, and not needed while the connection is served
fn open(socket: Socket, tenancy: Arc<Tenancy>, config: &Config) -> Result<WebSocket> {
    let wait = Wait::for_duration(config.handshake_timeout);
    let socket = Arc::new(socket);
    if tenancy.set(|tenant| tenant.socket = Arc::downgrade(&socket)) != Stage::Accepting {
        return Err(HandshakeError::Ended.into());
    }
    let stream = tenancy.control.secure(socket, wait);
    let socket = Arc::new(stream?);
    let max_head_bytes = config.options.max_head_bytes;
    let head = http_exchange::read_head(&socket, max_head_bytes, wait, Phase::Handshake);
    let head = head.inspect_err(|error| {
        if let Error::Handshake(error) = error {
            refuse(&socket, error, false, wait);
        }
    })?;
    tenancy.request_is_here();
    let request = server::parse(head.head());
    let mut request = request.inspect_err(|error| refuse(&socket, error, false, wait))?;
    request.peer_addr = socket.peer_addr();
    let (answer, subprotocol, deflate) = match decide(&request, config) {
        Ok(Decision::Accept {
            answer,
            subprotocol,
            deflate,
        }) => (answer, subprotocol, deflate),
        Ok(Decision::Respond(response)) => {
            // Whether it arrives is the client's business.
            let answer = response.to_bytes(request.method() == "HEAD");
            let _ = http_exchange::write(&socket, &answer, wait, Phase::Handshake);
            http_exchange::hang_up(&socket);
            return Err(HandshakeError::Answered(response.status()).into());
        }
        Err(error) => {
            refuse(&socket, &error, request.method() == "HEAD", wait);
            return Err(error.into());
        }
    };
    tenancy.set(|tenant| tenant.is_accepted = true);
    http_exchange::write(&socket, &answer, wait, Phase::Handshake)?;
    let opened = Opened {
        subprotocol,
        deflate,
        extensions: deflate.map(|agreed| agreed.to_string()).unwrap_or_default(),
        headers: HeaderMap::new(),
        peer_addr: request.peer_addr,
        local_addr: socket.local_addr(),
        request: Some(request),
        session: 1,
    };
    let shared = Shared::new(Role::Server, config.options.clone(), opened, socket.clone())?;
    let stage = tenancy.is_open(&shared);
    if stage != Stage::Accepting {
        shared.start_close(CloseFrame::new(code::GOING_AWAY, ""));
    }
    let receiver = Receiver::new(shared, socket, head.into_rest(), Some(tenancy));
    Ok(WebSocket::new(receiver))
}

enum Decision {
    Accept {
        answer: Vec<u8>,
        subprotocol: Option<String>,
        deflate: Option<Agreed>,
    },
    Respond(Response),
}

/// What to answer: checked here, then asked of the callback.
fn decide(request: &Request, config: &Config) -> Result<Decision, HandshakeError> {
    if request.is_upgrade() {
        server::check_upgrade(request)?;
        check_origin(request, &config.origins)?;
    }
    let answer = match &config.on_request {
        None => Answer::Default,
        Some(decide) => catch_unwind(AssertUnwindSafe(|| decide(request))).unwrap_or_else(|_| {
            log::error!(target: "wstrand", "the request callback panicked");
            Response::new(StatusCode::INTERNAL_SERVER_ERROR).into()
        }),
    };
    let acceptance = match answer {
        Answer::Respond(response) => return Ok(Decision::Respond(response)),
        Answer::Accept(acceptance) => acceptance,
        Answer::Default => Default::default(),
    };
    // What the callback accepts must still be an opening handshake.
    server::check_upgrade(request)?;
    let subprotocol = match acceptance.subprotocol {
        None => server::choose_subprotocol(request, &config.subprotocols),
        Some(name) if server::offered(request, &name) => Some(name),
        Some(name) => {
            log::error!(target: "wstrand", "the request callback chose a subprotocol that was not offered: {name}");
            return Ok(Decision::Respond(Response::new(
                StatusCode::INTERNAL_SERVER_ERROR,
            )));
        }
    };
    let deflate = server::choose_deflate(request, config.options.deflate);
    Ok(Decision::Accept {
        answer: server::accept(
            request,
            subprotocol.as_deref(),
            deflate.as_ref(),
            &acceptance.headers,
        ),
        subprotocol,
        deflate,
    })
}

/// Tells the client why its request is refused, if there is anything to tell.
fn refuse(socket: &Stream, error: &HandshakeError, head_request: bool, wait: Wait) {
    if !matches!(error, HandshakeError::Ended) {
        let answer = server::refuse(error, head_request);
        // Whether it arrives is the client's business.
        let _ = http_exchange::write(socket, &answer, wait, Phase::Handshake);
        http_exchange::hang_up(socket);
    }
}
