"""Loads what the standard library would load on first use: in a guest it is out of sight by then.

Imported by the keeper before it forks; a unit test runs what a guest runs with imports forbidden.
"""

import asyncio.base_subprocess
import asyncio.sslproto
import concurrent.futures.thread
import email.base64mime
import email.charset
import email.contentmanager
import email.feedparser
import email.generator
import email.headerregistry
import email.iterators
import email.message
import email.parser
import email.policy
import email.quoprimime
import encodings.ascii
import encodings.cp1252
import encodings.idna
import encodings.latin_1
import encodings.punycode
import encodings.unicode_escape
import encodings.utf_8_sig
import encodings.utf_16
import linecache
import quopri
import stringprep
import tempfile
import tokenize
import traceback

# Named, so that no tool takes the imports for forgotten.
LOADED = (
    asyncio.base_subprocess, asyncio.sslproto, concurrent.futures.thread, email.base64mime, email.charset,
    email.contentmanager, email.feedparser, email.generator, email.headerregistry, email.iterators, email.message,
    email.parser, email.policy, email.quoprimime, encodings.ascii, encodings.cp1252, encodings.idna, encodings.latin_1,
    encodings.punycode,
    encodings.unicode_escape, encodings.utf_8_sig, encodings.utf_16, linecache, quopri, stringprep, tempfile, tokenize,
    traceback,
)  # fmt: skip
