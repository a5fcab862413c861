"""What is read from good files of every kind."""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path

import docx
import pytest
from tests.documents import encrypted_pdf, pdf, placed, sheet, slides, word, word_of

from langchain_assistants.retrieval.documents import ParsedDocument, RefusedFile
from langchain_assistants.retrieval.parsing import EXTENSIONS, parse

# The original's, and CSV.
PLAIN = (
    *(".c", ".cpp", ".cs", ".css", ".csv", ".go", ".java", ".js", ".json", ".md"),
    *(".php", ".py", ".rb", ".sh", ".tex", ".ts", ".txt"),
)


def read(folder: Path, content: bytes, filename: str) -> ParsedDocument:
    return parse(placed(folder, content), filename)


@pytest.mark.parametrize(
    "filename",
    [f"a{extension}" for extension in PLAIN] + ["A.TXT", "a.b.Md"],
)
def test_text_and_source_code_are_read_as_they_are(
    tmp_path: Path, filename: str
) -> None:
    text = 'def f(x):\n\treturn {"größe": x}  # 日本語\n'
    assert read(tmp_path, text.encode(), filename) == ParsedDocument(text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("Grüße".encode(), "Grüße"),
        ("Grüße".encode("utf-8-sig"), "Grüße"),
        ("Grüße".encode("utf-16"), "Grüße"),
        ("\ufeffGrüße".encode("utf-16-be"), "Grüße"),
        ("Grüße".encode("utf-32"), "Grüße"),
        ("\ufeffGrüße".encode("utf-32-be"), "Grüße"),
        ("Grüße “5 €”".encode("cp1252"), "Grüße “5 €”"),
        (b"caf\xe9 \x81", "café \x81"),  # \x81 is nothing in cp1252
        (b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        ("\ud800 lone".encode("utf-8", "surrogatepass"), None),
    ],
)
def test_charsets_are_recognised(
    tmp_path: Path, content: bytes, text: str | None
) -> None:
    found = read(tmp_path, content, "a.txt").text
    if text is None:
        found.encode()  # whatever it is, it can be stored
    else:
        assert found == text


def test_a_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    document = read(tmp_path, pdf(["First page", "", "Third page"]), "a.pdf")
    assert document.pages is not None
    assert document.text == "First page\n\nThird page\n\n"
    assert list(document.pages) == [0, 12, 12]


def test_a_pdf_that_anybody_may_open_is_read(tmp_path: Path) -> None:
    document = read(tmp_path, encrypted_pdf(user=""), "a.pdf")
    assert document.text.strip() == "Secret page"


def test_a_word_document_is_read_with_headers_tables_and_footers(
    tmp_path: Path,
) -> None:
    document = docx.Document()
    document.add_heading("Title")
    document.add_paragraph("Body").add_run("\ttabbed\nbroken")
    table = document.add_table(rows=2, cols=3)
    for row, column, text in ((0, 0, "a"), (0, 2, "c"), (1, 1, "m")):
        table.cell(row, column).text = text
    document.add_paragraph("After")
    document.sections[0].header.paragraphs[0].text = "Header"
    document.sections[0].footer.paragraphs[0].text = "Footer"
    document.save(str(tmp_path / "file-1"))
    assert parse(tmp_path / "file-1", "a.docx").text == (
        "Header\nTitle\nBody\ttabbed\nbroken\na\t\tc\n\tm\nAfter\nFooter\n"
    )


def test_word_text_that_python_docx_leaves_out_is_read(tmp_path: Path) -> None:
    run = "<w:r><w:t>{}</w:t></w:r>"
    body = (
        f"<w:sdt><w:sdtContent><w:p>{run.format('control')}</w:p></w:sdtContent>"
        f"</w:sdt><w:p><w:ins>{run.format('inserted')}</w:ins>"
        "<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del></w:p>"
        "<w:p><mc:AlternateContent><mc:Choice Requires='w'>"
        f"{run.format('new')}</mc:Choice><mc:Fallback>{run.format('old')}"
        "</mc:Fallback></mc:AlternateContent><w:r><w:noBreakHyphen/></w:r></w:p>"
        f"<w:p><w:pPr><w:tabs><w:tab/></w:tabs></w:pPr>{run.format('end')}</w:p>"
    )
    found = read(tmp_path, word_of(body), "a.docx").text
    assert found == "control\ninserted\nnew-\nend\n"


def test_slides_are_read_with_their_notes(tmp_path: Path) -> None:
    document = read(tmp_path, slides("One", "Two", notes="Say\vthis"), "a.pptx")
    assert document.text == "One\nSay\nthis\n\nTwo\nSay\nthis\n\n"
    assert document.pages is not None
    assert list(document.pages) == [0, 14]


def test_groups_and_tables_on_slides_are_read(tmp_path: Path) -> None:
    import pptx

    deck = pptx.Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[6])
    group = slide.shapes.add_group_shape()
    box = group.shapes.add_group_shape().shapes.add_textbox(0, 0, 9, 9)
    box.text_frame.text = "nested"
    table = slide.shapes.add_table(1, 2, 0, 0, 9, 9).table
    table.cell(0, 0).text, table.cell(0, 1).text = "a", "b"
    deck.slides.add_slide(deck.slide_layouts[6])
    deck.save(str(tmp_path / "file-1"))
    document = parse(tmp_path / "file-1", "a.pptx")
    assert document.text == "nested\na\tb\n\n"
    assert len(document.pages or ()) == 2


def test_a_sheet_is_read_row_by_row(tmp_path: Path) -> None:
    content = sheet(
        ["name", None, 2.5, None], [None], ["two\nlines", date(2024, 1, 2), True]
    )
    assert read(tmp_path, content, "a.xlsx").text == (
        "# Sheet\nname\t\t2.5\ntwo lines\t2024-01-02\tTrue\n\n"
    )


def test_html_is_read_without_its_markup(tmp_path: Path) -> None:
    page = """<!doctype html><html><head><title>The
    title</title><style>p { color: red }</style></head><body><script>x = "</p>"</script>
    <h1>Head</h1><p>One <b>bo</b>ld, &amp; two.<br>Line</p>
    <table><tr><td>a<td>b</tr></table><pre>x\n  y</pre></div> end <img/></body>"""
    assert read(tmp_path, page.encode(), "a.html").text == (
        "The title\n\nHead\n\nOne bold, & two.\nLine\n\na\tb\n\nx\n  y\nend"
    )


@pytest.mark.parametrize(
    "rest", ["<!-- no <p>text", '<a href="x', "</p", "<!x", " end"]
)
def test_a_tag_or_comment_that_html_never_ends_is_no_text(
    tmp_path: Path, rest: str
) -> None:
    page = f"<p>1 < 2 &amp; so on{rest}"
    end = rest if rest == " end" else ""
    assert read(tmp_path, page.encode(), "a.html").text == f"1 < 2 & so on{end}"


@pytest.mark.parametrize("charset", ["windows-1251", "no-such-charset", "utf-7"])
def test_html_may_declare_its_charset(tmp_path: Path, charset: str) -> None:
    page = f'<meta charset="{charset}"><p>Привет'.encode("cp1251")
    found = read(tmp_path, page, "a.htm").text
    assert (found == "Привет") == (charset == "windows-1251")


def test_a_file_of_another_kind_is_not_supported(tmp_path: Path) -> None:
    for filename, shown in (
        ("a.exe", "[.exe]"),
        ("a", "[none that is known]"),
        ("a.\x1b[31m", "[none that is known]"),
        ("a.doc", "[.doc] are not supported for retrieval. Save it as .docx or .pdf."),
    ):
        with pytest.raises(RefusedFile) as refused:
            read(tmp_path, b"text", filename)
        assert refused.value.code == "unsupported_file"
        assert shown in refused.value.message
    assert ".pdf" in EXTENSIONS


def test_a_missing_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "langchain_assistants.retrieval.readers.word"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "docx", None)
    with pytest.raises(RefusedFile, match=r"langchain-assistants\[files\]") as refused:
        read(tmp_path, word("x"), "a.docx")
    assert refused.value.code == "server_error"
