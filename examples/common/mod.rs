//! The options that all example clients take.

use std::{error::Error, fs};

use wstrand::{Client, ClientTls, Deflate, Options, Proxy};

/// Those options, for a usage line.
pub(crate) const OPTIONS: &str = "[--deflate] [--ca PEM] [--insecure] [--proxy URL]";

/// Takes the arguments that are for every client; each other one goes to `other`, with those behind it.
pub(crate) fn client(
    mut args: impl Iterator<Item = String>,
    mut other: impl FnMut(&mut Client, String, &mut dyn Iterator<Item = String>) -> Outcome,
) -> Result<Client, Box<dyn Error>> {
    let mut client = Client::new();
    let mut tls = ClientTls::new();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--deflate" => {
                client.options(Options::new().deflate(Some(Deflate::new())));
            }
            "--ca" => {
                let file = args.next().ok_or("--ca needs a file")?;
                tls.add_roots_pem(&fs::read(file)?)?;
            }
            "--insecure" => {
                tls.danger_accept_invalid_certs(true);
            }
            "--proxy" => {
                client.proxy(Proxy::new(&args.next().ok_or("--proxy needs a URL")?)?);
            }
            _ => other(&mut client, arg, &mut args)?,
        }
    }
    client.tls(tls);
    Ok(client)
}

pub(crate) type Outcome = Result<(), Box<dyn Error>>;
