#!/usr/bin/env python3
"""Makes manual pages of wstrand.h: man.py HEADER DIRECTORY

One page (section 3) for each function and each type that the header declares, and wstrand(3): the header's opening
comment and the constants. They say what the comments say. Their date is that of the header, or SOURCE_DATE_EPOCH.
"""

import datetime
import os
import pathlib
import re
import sys
import textwrap


def main(header, directory):
    source = header.read_text(encoding="ascii")
    version = ".".join(re.search(rf"#define WSTRAND_VERSION_{part} (\d+)", source)[1] for part in ("MAJOR", "MINOR", "PATCH"))
    seconds = int(os.environ.get("SOURCE_DATE_EPOCH", header.stat().st_mtime))
    date = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).date().isoformat()
    directory.mkdir(parents=True, exist_ok=True)

    documented = re.findall(r"/\*\*\n(.*?)\n \*/\n(.*?)(?=\n\n|\n#define|\Z)", source, re.DOTALL)
    comments = [(unstarred(comment), " ".join(declaration.split())) for comment, declaration in documented]
    constants = [(name[1], comment) for comment, line in comments if (name := re.match(r"#define (WSTRAND_\w+)", line))]
    pages = {name: (comment, line) for comment, line in comments if (name := name_of(line)) is not None}

    def write(name, body):
        title = f'.TH {name} 3 {date} "wstrand {version}" "WebSocket for programs that block"\n.nh\n'
        (directory / f"{name}.3").write_text(title + body)

    for name, (comment, declaration) in pages.items():
        write(name, page(name, comment, declaration, pages))
    preface = unstarred(re.match(r"/\*\*?\n(.*?)\n \*/", source, re.DOTALL)[1])
    write("wstrand", overview(preface, constants, pages))


def unstarred(comment):
    return [re.sub(r"^ \* ?", "", line) for line in comment.split("\n")]


def name_of(declaration):
    """The function or type that is declared; None for a constant."""
    for form in (r"typedef struct (wstrand_\w+) ", r"typedef .*\(\*(wstrand_\w+)\)\(", r".*?(wstrand_\w+)\("):
        if not declaration.startswith("#") and (found := re.match(form, declaration)):
            return found[1]
    return None


def page(name, comment, declaration, pages):
    description, parameters, returned, threads = [], {}, [], []
    part = description
    for line in comment:
        if found := re.match(r"@param (\w+) (.*)", line):
            part = parameters[found[1]] = [found[2]]
        elif line.startswith("@return "):
            part = returned
            part.append(line.removeprefix("@return "))
        elif line.startswith("Threads: "):
            part = threads
            part.append(line.removeprefix("Threads: "))
        elif not line and part is threads:
            part = description  # a paragraph behind it is about the whole again
            part.append(line)
        else:
            part.append(line)

    text = f".SH NAME\n{name} \\- {brief(comment)}\n.SH SYNOPSIS\n.nf\n.B #include <wstrand.h>\n.PP\n{synopsis(declaration)}.fi\n"
    text += ".SH DESCRIPTION\n" + prose(description)
    if parameters:
        text += ".SH PARAMETERS\n"
        text += "".join(f".TP\n.I {parameter}\n{prose(lines)}" for parameter, lines in parameters.items())
    for heading, lines in (("RETURN VALUE", returned), ("THREADS", threads)):
        if lines:
            text += f".SH {heading}\n" + sentence(prose(lines))
    mentioned = re.findall(r"wstrand_\w+", "\n".join(comment) + declaration)
    return text + see_also(["wstrand", *(other for other in mentioned if other in pages and other != name)])


def overview(preface, constants, pages):
    text = ".SH NAME\nwstrand \\- WebSocket (RFC 6455) for programs that block\n"
    text += ".SH SYNOPSIS\n.nf\n.B #include <wstrand.h>\n.PP\n.B cc hello.c $(pkg-config \\-\\-cflags \\-\\-libs wstrand)\n.fi\n"
    text += ".SH DESCRIPTION\n" + prose(preface[preface.index("") + 1 :])  # behind its title
    text += ".SH CONSTANTS\n" + "".join(f".TP\n.B {name}\n{prose(lines)}" for name, lines in constants)
    return text + see_also(pages)


def brief(comment):
    """The first sentence, as apropos(1) shows it."""
    first = re.split(r"\. |\.$|: | \(|;", " ".join(comment))[0]
    return escaped(first[0].lower() + first[1:])


def sentence(text):
    return text[0].upper() + text[1:] if text[0].isalpha() else text


def synopsis(declaration):
    declaration = declaration.removeprefix("WSTRAND_NODISCARD ")
    before, arguments = re.match(r"(.*?\w\)?)(?:\((.*)\))?;$", declaration).groups()
    if arguments is None:
        return f'.B "{escaped(declaration)}"\n'
    lines = []
    for i, argument in enumerate(arguments.split(", ")):
        start = escaped(before) + "(" if i == 0 else "    "
        end = ");" if i == arguments.count(", ") else ","
        kind, name = re.match(r"(.*?)(\w+)$", argument).groups()
        lines.append(f'.BI "{start}{escaped(kind)}" {name} "{end}"\n' if kind else f'.B "{start}{name}{end}"\n')
    return "".join(lines)


def prose(lines):
    """Paragraphs, items that begin with a dash, and what is indented by four or more, as it stands."""
    blocks = []  # of a kind, and lines
    for line in lines:
        last, held = blocks[-1] if blocks else ("", [])
        if line.startswith("    ") and last not in ("text", "item"):
            if last != "verbatim":
                blocks.append(("verbatim", []))
            blocks[-1][1].append(line.removeprefix("    "))
        elif line.startswith("- "):
            blocks.append(("item", [line.removeprefix("- ")]))
        elif line and last in ("text", "item"):
            held.append(line.strip())
        elif line:
            blocks.append(("text", [line]))
        elif last == "verbatim":
            held.append("")
        elif last != "":
            blocks.append(("", []))

    text = ""
    for i, (kind, held) in enumerate(blocks):
        if kind == "verbatim":
            text += ".PP\n.nf\n" + "".join(f"{escaped(line)}\n" for line in "\n".join(held).strip("\n").split("\n")) + ".fi\n"
        elif kind:
            text += ".IP \\(bu 2\n" if kind == "item" else ".PP\n" if i > 0 else ""
            text += filled(" ".join(held)) + "\n"
    return text


def filled(paragraph):
    lines = textwrap.wrap(marked(paragraph), 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join("\\&" + line if line.startswith(".") else line for line in lines)


def marked(line):
    """Names in backticks, functions, types and constants, in bold."""
    parts = re.split(r"`([^`]*)`|\b(wstrand_\w+|WSTRAND_\w+)", line)
    text = escaped(parts[0])
    for quoted, name, after in zip(parts[1::3], parts[2::3], parts[3::3]):
        text += f"\\fB{escaped(quoted or name)}\\fP{escaped(after)}"
    return text


def escaped(text):
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq").replace('"', "\\(dq").replace("^", "\\(ha").replace("~", "\\(ti")
    return text


def see_also(names):
    unique = list(dict.fromkeys(names))
    lines = [f".BR {name} (3)" + ("," if i + 1 < len(unique) else "") for i, name in enumerate(unique)]
    return ".SH SEE ALSO\n.ad l\n" + "\n".join(lines) + "\n"


if len(sys.argv) != 3:
    sys.exit(__doc__)
main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
