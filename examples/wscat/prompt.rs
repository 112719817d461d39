//! A person at a terminal: lines to send, commands, and messages that come while a line is being edited.

use std::{
    borrow::Cow,
    env,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use reedline::{
    EditCommand, FileBackedHistory, PromptEditMode, PromptHistorySearch, Reedline, Signal,
};
use unicode_width::UnicodeWidthStr;

use crate::{
    arguments::Arguments,
    input::{self, Fault},
    output::Output,
    peers::Peers,
};

pub(crate) struct Prompt {
    history: Option<PathBuf>,
    screen: Screen,
}

/// The way to a prompt from other threads.
#[derive(Clone, Default)]
pub(crate) struct Screen {
    interrupt: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl Prompt {
    pub(crate) fn new(arguments: &Arguments, screen: &Screen) -> Self {
        Self {
            history: arguments.history.clone().or_else(default_history),
            screen: screen.clone(),
        }
    }

    /// Takes lines until the user or the connection ends it.
    pub(crate) fn run(
        self,
        arguments: &Arguments,
        peers: &Peers,
        output: &Output,
    ) -> Result<(), Fault> {
        output.note("/help tells the commands; Ctrl-D closes");
        let mut editor = self.editor();
        loop {
            output.hold(&self.screen.interrupt);
            let signal = if self.screen.is_over.load(Ordering::SeqCst) {
                Ok(Signal::CtrlD)
            } else {
                editor.read_line(&Arrow)
            };
            let is_over = self.screen.is_over.load(Ordering::SeqCst);
            match &signal {
                Ok(Signal::ExternalBreak(text)) if is_over && !text.is_empty() => println!(),
                Ok(Signal::ExternalBreak(text)) => {
                    // It would put its next prompt where the one before was, over what is shown now; a new one finds
                    // out where there is room.
                    let at = editor.current_insertion_point();
                    erase(&text[..at]);
                    editor = self.editor();
                    editor.run_edit_commands(&[
                        EditCommand::InsertString(text.clone()),
                        EditCommand::MoveToPosition {
                            position: at,
                            select: false,
                        },
                    ]);
                }
                _ => {}
            }
            output.release();
            let line = match signal {
                Ok(Signal::Success(line)) => line,
                Ok(Signal::ExternalBreak(_)) if !is_over => continue,
                Ok(_) => return Ok(()),
                Err(error) => return Err(Fault::Local(format!("terminal: {error}"))),
            };
            if line.is_empty() {
                continue;
            }
            // Not to remember is no reason to end.
            let _ = editor.sync_history();
            match act(&line, arguments, peers, output) {
                Ok(()) => {}
                Err(Fault::Local(why)) => output.error(&why),
                // If that was the end of it, the receiving side says so, and ends the next line.
                Err(Fault::Connection) => {}
            }
        }
    }

    fn editor(&self) -> Reedline {
        let editor = Reedline::create()
            .with_break_signal(self.screen.interrupt.clone())
            .with_poll_interval(POLL)
            .with_history_exclusion_prefix(Some(" ".to_owned()))
            .with_ansi_colors(false)
            .use_bracketed_paste(true);
        // Not to remember is no reason to end.
        match self.history.as_deref().map(open_history) {
            Some(Ok(history)) => editor.with_history(Box::new(history)),
            _ => editor,
        }
    }
}

impl Screen {
    /// Has the editor give the terminal back, as soon as it can.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.interrupt.store(true, Ordering::SeqCst);
    }
}

/// Takes the prompt off the screen, with the line that is being edited: `before` is what of it is before the cursor.
fn erase(before: &str) {
    let size = rustix::termios::tcgetwinsize(io::stdout());
    let columns = size.map_or(80, |size| usize::from(size.ws_col.max(1)));
    let mut above = before.matches('\n').count();
    for line in before.split('\n') {
        // The prompt has two columns, and so has what stands before other lines.
        above += (line.width() + 2) / columns;
    }
    if above > 0 {
        print!("\x1b[{above}A");
    }
    print!("\r\x1b[J");
    // What follows shows whether the terminal is still there.
    let _ = io::stdout().flush();
}

/// What stands before the line.
struct Arrow;

impl reedline::Prompt for Arrow {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        "".into()
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        "> ".into()
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        "  ".into()
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        format!("(search: {}) ", search.term).into()
    }
}

/// Sends a line, or does what it commands.
fn act(line: &str, arguments: &Arguments, peers: &Peers, output: &Output) -> Result<(), Fault> {
    let Some(command) = line.strip_prefix('/') else {
        peers.each(|sender| sender.send_text(line))?;
        return Ok(());
    };
    if command.starts_with('/') {
        peers.each(|sender| sender.send_text(command))?;
        return Ok(());
    }
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    match name {
        "help" => HELP.lines().for_each(|line| output.note(line)),
        "ping" => {
            let payload = if rest.is_empty() { "wscat" } else { rest };
            output.pinging(payload.as_bytes());
            peers.each(|sender| sender.ping(payload.as_bytes()))?;
        }
        "close" => {
            let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            let code = match code {
                "" => 1000,
                digits => digits
                    .parse()
                    .map_err(|_| Fault::Local("/close takes a code: /close 1000 goodbye".into()))?,
            };
            peers.close(code, reason)?;
        }
        "binary" => {
            let bytes = unhex(rest).ok_or_else(|| {
                Fault::Local("/binary takes hexadecimal: /binary 00 ff 7e".into())
            })?;
            peers.each(|sender| sender.send_binary(&bytes))?;
        }
        "send" if !rest.is_empty() => {
            input::send_file(arguments, peers, Path::new(rest.trim()))?;
            output.note(&format!("sent {}", rest.trim()));
        }
        "send" => return Err(Fault::Local("/send takes a file: /send photo.jpg".into())),
        _ => {
            let hint = "/help tells those that are; //… sends a line that begins with a slash";
            return Err(Fault::Local(format!("no such command: /{name} ({hint})")));
        }
    }
    Ok(())
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16)?.try_into().ok())
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

fn open_history(path: &Path) -> Result<FileBackedHistory, Box<dyn std::error::Error>> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // What was sent may be nobody else's business.
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path)?;
    Ok(FileBackedHistory::with_file(10_000, path.to_owned())?)
}

fn default_history() -> Option<PathBuf> {
    let state = env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
    Some(state.or_else(home)?.join("wscat/history"))
}

const HELP: &str = "\
a line               sends it as a text message
//LINE               sends a line that begins with a slash
/ping [TEXT]         sends a ping, and tells when the pong is back
/binary HEX          sends bytes: /binary 00 ff 7e
/send FILE           sends a file as a binary message
/close [CODE [TEXT]] closes, with a code and a reason
Ctrl-D, Ctrl-C       close with code 1000; arrow up brings back earlier lines";

/// How often the editor looks whether there are lines to show.
const POLL: Duration = Duration::from_millis(30);
