"""Small files of every kind, good and hostile, made where they are needed."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import docx
import openpyxl
import pptx
from pypdf import PdfReader, PdfWriter

_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def pdf(pages: Sequence[str], *, filters: int = 1, title: str = "") -> bytes:
    """Make a PDF of a line of text on each page; empty: a page without text.

    Args:
        pages: The lines.
        filters: How often each page's stream is deflated.
        title: Put in front of each page's stream as a comment of PDF.
    """
    count = len(pages)
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {count} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents "
            f"{5 + 2 * number} 0 R /Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        shown = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        stream = f"%{title}\n{shown}".encode("latin-1")
        for _ in range(filters):
            stream = zlib.compress(stream, 9)
        names = " ".join(["/FlateDecode"] * filters)
        head = f"<< /Length {len(stream)} /Filter [{names}] >>\nstream\n".encode()
        objects.append(head + stream + b"\nendstream")
    return _assembled(objects)


def _assembled(objects: Sequence[bytes]) -> bytes:
    out = io.BytesIO()
    out.write(b"%PDF-1.7\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(b"%d 0 obj\n%s\nendobj\n" % (number, body))
    table = out.tell()
    out.write(b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1))
    out.write(b"".join(b"%010d 00000 n \n" % place for place in places))
    out.write(b"trailer\n<< /Size %d /Root 1 0 R >>\n" % (len(objects) + 1))
    out.write(b"startxref\n%d\n%%%%EOF\n" % table)
    return out.getvalue()


def encrypted_pdf(user: str, owner: str = "owner") -> bytes:
    """Make a PDF that asks for a password; an empty one: only to change it."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(["Secret page"]))))
    writer.encrypt(user, owner, algorithm="RC4-128")
    return _saved(writer.write)


def pdf_bomb() -> bytes:
    """Make a PDF of 2 kB whose page inflates to 100 MB."""
    stream = zlib.compress(zlib.compress(b" " * 100_000_000, 1), 9)
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>",
        b"<< /Length %d /Filter [/FlateDecode /FlateDecode] >>\nstream\n%s\nendstream"
        % (len(stream), stream),
    ]
    return _assembled(objects)


def word(*paragraphs: str) -> bytes:
    """Make a .docx file."""
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    return _saved(document.save)


def word_of(body: str, *, declarations: str = "") -> bytes:
    """Make a .docx file whose body is this XML."""
    out = io.BytesIO()
    xml = (
        f'<?xml version="1.0"?>{declarations}<w:document xmlns:w="{_WORD}" '
        'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        f"<w:body>{body}</w:body></w:document>"
    )
    with (
        zipfile.ZipFile(io.BytesIO(word("replaced"))) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            is_body = member.filename == "word/document.xml"
            content = xml.encode() if is_body else old.read(member)
            new.writestr(member.filename, content)
    return out.getvalue()


def billion_laughs() -> bytes:
    """Make a .docx file whose entities would expand to a billion words."""
    entities = '<!ENTITY a0 "lol">' + "".join(
        f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10)
    )
    return word_of(
        "<w:p><w:r><w:t>&a9;</w:t></w:r></w:p>",
        declarations=f"<!DOCTYPE w:document [{entities}]>",
    )


def slides(*titles: str, notes: str = "") -> bytes:
    """Make a .pptx file."""
    deck = pptx.Presentation()
    for title in titles:
        slide = deck.slides.add_slide(deck.slide_layouts[5])
        slide.shapes.title.text = title
        if notes:
            slide.notes_slide.notes_text_frame.text = notes
    return _saved(deck.save)


def sheet(*rows: Sequence[object]) -> bytes:
    """Make an .xlsx file of one sheet."""
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return _saved(book.save)


def sheet_with_a_far_cell() -> bytes:
    """Make an .xlsx file whose only cell is the last that there can be."""
    book = openpyxl.Workbook()
    book.active["XFD1048576"] = "far"
    return _saved(book.save)


def archive(members: int, bytes_each: int) -> bytes:
    """Make a ZIP archive of zeros, as small as it gets."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new:
        block = bytes(2**20)
        for number in range(members):
            with new.open(f"word/{number}.xml", "w") as member:
                for _ in range(bytes_each >> 20):
                    member.write(block)
                member.write(bytes(bytes_each & 0xFFFFF))
    return out.getvalue()


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    out = io.BytesIO()
    save(out)
    return out.getvalue()


def placed(folder: Path, content: bytes, name: str = "file-1") -> Path:
    """Write a content as a blob: its name tells nothing of what it is."""
    path = folder / name
    path.write_bytes(content)
    return path
