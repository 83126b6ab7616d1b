//! iceoryx2 request-response: the measuring side asks, its peer answers.

use crate::iceoryx::{SMALL, Side, delivered};
use iceoryx2::active_request::ActiveRequest;
use iceoryx2::pending_response::PendingResponse;
use iceoryx2::port::client::Client;
use iceoryx2::port::server::Server;
use iceoryx2::prelude::ipc;
use std::io;
use std::path::Path;
use wharf_bench::contender::{Contender, End, Home, failed, foreign};

type Bytes = [u8; SMALL];

/// One service with one client and one server, both of which look for messages without a pause. Half of its round trip is
/// what a table calls one way.
pub struct Requests {
    name: &'static str,
}

impl Requests {
    /// A service under this name.
    pub fn new(name: &'static str) -> Requests {
        Requests { name }
    }

    fn open(&self, side: Side, at: &Path) -> io::Result<RequestEnd> {
        let node = side.node(at)?;
        let (name, _) = Side::Measuring.services()?;
        let builder = node.service_builder(&name).request_response::<Bytes, Bytes>();
        let builder = builder.max_clients(1).max_servers(1).max_response_buffer_size(1);
        let service = builder.open_or_create().map_err(foreign)?;
        Ok(match side {
            Side::Measuring => {
                let client = service.client_builder().create().map_err(foreign)?;
                RequestEnd::Asking { client, pending: None }
            }
            Side::Peer => {
                let server = service.server_builder().create().map_err(foreign)?;
                RequestEnd::Answering { server, active: None }
            }
        })
    }
}

/// One side, with the request that is under way.
pub enum RequestEnd {
    /// The client.
    Asking {
        /// Its port.
        client: Client<ipc::Service, Bytes, (), Bytes, ()>,
        /// The request that waits for its response.
        pending: Option<PendingResponse<ipc::Service, Bytes, (), Bytes, ()>>,
    },
    /// The server.
    Answering {
        /// Its port.
        server: Server<ipc::Service, Bytes, (), Bytes, ()>,
        /// The request that is to be answered.
        active: Option<ActiveRequest<ipc::Service, Bytes, (), Bytes, ()>>,
    },
}

impl End for RequestEnd {
    #[inline]
    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let bytes = message.first_chunk::<SMALL>().ok_or_else(|| failed("64 bytes, not less"))?;
        match self {
            RequestEnd::Asking { client, pending } => {
                let request = client.loan_uninit().map_err(foreign)?.write_payload(*bytes).send().map_err(foreign)?;
                delivered(request.number_of_server_connections())?;
                *pending = Some(request);
                Ok(())
            }
            RequestEnd::Answering { active, .. } => {
                let request = active.take().ok_or_else(|| failed("a response without a request"))?;
                request.loan_uninit().map_err(foreign)?.write_payload(*bytes).send().map_err(foreign)
            }
        }
    }

    #[inline]
    fn recv(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let into = into.first_chunk_mut::<SMALL>().ok_or_else(|| failed("64 bytes, not less"))?;
        // The other side asks and answers until the workload ends.
        match self {
            RequestEnd::Asking { pending, .. } => {
                let request = pending.take().ok_or_else(|| failed("a response without a request"))?;
                loop {
                    let Some(response) = request.receive().map_err(foreign)? else { continue };
                    *into = *response.payload();
                    return Ok(SMALL);
                }
            }
            RequestEnd::Answering { server, active } => loop {
                let Some(request) = server.receive().map_err(foreign)? else { continue };
                *into = *request.payload();
                *active = Some(request);
                return Ok(SMALL);
            },
        }
    }
}

impl Contender for Requests {
    type Door = Option<RequestEnd>;
    type End = RequestEnd;

    fn name(&self) -> &'static str {
        self.name
    }

    fn home(&self) -> Home {
        Home::Processes
    }

    fn only_len(&self) -> Option<usize> {
        Some(SMALL)
    }

    fn listen(&self, at: &Path) -> io::Result<Option<RequestEnd>> {
        self.open(Side::Measuring, at).map(Some)
    }

    fn accept(&self, door: &mut Option<RequestEnd>) -> io::Result<RequestEnd> {
        door.take().ok_or_else(|| failed("a service has room for one client"))
    }

    fn connect(&self, at: &Path) -> io::Result<RequestEnd> {
        self.open(Side::Peer, at)
    }
}
