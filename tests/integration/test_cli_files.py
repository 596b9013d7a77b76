# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0
"""quantize, inspect, verify, eval and export, on good files and bad ones."""

import contextlib
import json
import os
import pty
import resource
import struct
import subprocess
import tempfile
import unittest

import numpy

import nibble_test
from nibble_test import nibble, scratch_path

GLOVE = "tests/data/glove-6B-50d-head.txt"
ROWS, DIM = 2444, 50


def write(data, suffix=""):
    path = scratch_path(suffix)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def npy(header, data=b""):
    """An .npy file with any text as its header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


class FilesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.glove = scratch_path(".nbt")
        nibble("quantize", "--codec", "q4", "--input", GLOVE, "--output",
               cls.glove)

    def fails(self, *arguments, limit=None):
        """Status 1 and one line; returns the line."""
        done = nibble(*arguments, check=False, limit=limit)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("nibble %s: " % arguments[0]))
        return done.stderr

    def refuses(self, source, *words, options=()):
        """quantize fails, names file and words, and leaves no output."""
        output = scratch_path(".nbt")
        line = self.fails("quantize", "--input", source, "--output", output,
                          *options)
        for word in (os.path.basename(source),) + words:
            self.assertIn(word, line)
        self.assertFalse(os.path.exists(output))
        return line

    # ---- quantize ---------------------------------------------------------

    def test_quantize_says_what_it_did(self):
        output = scratch_path(".nbt")
        done = nibble("quantize", "--codec", "q4", "--input", GLOVE, "--output",
                      output)
        for words in ("2,444 rows x 50 values", "codec q4", "search greedy",
                      "fp16 scales", "% of fp32", "bytes",
                      "normalized l2 loss 0.1050", "rows/s"):
            self.assertIn(words, done.stdout)
        self.assertEqual(done.stderr, "")  # no progress where it is piped

    def test_all_processors_are_used(self):
        source = scratch_path(".npy")
        numpy.save(source, nibble_test.random_rows(60000, 16))

        def threads(*options):
            done = nibble("quantize", "--codec", "q4", "--search", "asym",
                          "--input", source, "--output", scratch_path(".nbt"),
                          "--json", *options)
            return json.loads(done.stdout)["threads"]
        self.assertEqual(threads(), min(8, len(os.sched_getaffinity(0))))
        self.assertEqual(threads("--threads", "1"), 1)

    def test_quantize_json(self):
        output = scratch_path(".nbt")
        done = nibble("quantize", "--input", GLOVE, "--output", output,
                      "--search", "asym", "--scales", "fp32", "--threads", "1",
                      "--json")
        self.assertEqual(done.stdout.count("\n"), 1)
        report = json.loads(done.stdout)
        self.assertEqual(report["rows"], ROWS)
        self.assertEqual(report["dim"], DIM)
        self.assertEqual(report["search"], "asym")
        self.assertEqual(report["scales"], "fp32")
        self.assertEqual(report["codec"], "q4")
        self.assertEqual(report["input_format"], "glove")
        self.assertEqual(report["input_bytes"], os.path.getsize(GLOVE))
        self.assertEqual(report["fp32_bytes"], ROWS * DIM * 4)
        self.assertEqual(report["file_bytes"], os.path.getsize(output))
        self.assertEqual(report["nonfinite_zeroed"], 0)
        self.assertEqual(report["threads"], 1)

    def test_threads_do_not_change_the_file(self):
        files = []
        for n in ("1", "3"):
            output = scratch_path(".nbt")
            nibble("quantize", "--codec", "q4", "--input", GLOVE, "--output",
                   output, "--threads", n)
            files.append(read(output))
        self.assertEqual(files[0], files[1])

    def test_progress_on_a_terminal(self):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [nibble_test.NIBBLE, "quantize", "--codec", "q4", "--input",
             GLOVE, "--output", scratch_path(".nbt")],
            stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(master)
        self.assertEqual(process.wait(), 0)
        self.assertRegex(shown.decode(),
                         r"quantizing: [\d,]+ rows, [\d.]+ %, [\d,]+ rows/s, "
                         r"[\d.]+ (s|min .*) left")
        self.assertTrue(shown.endswith(b"\r\x1b[K"))

    def test_nan_and_inf(self):
        rows = nibble_test.random_rows(10, 4)
        rows[7, 2] = numpy.nan
        rows[8, 0] = -numpy.inf
        source = scratch_path(".npy")
        numpy.save(source, rows)
        line = self.refuses(source, "row 7", "column 2")
        self.assertNotIn("row 8", line)
        output = scratch_path(".nbt")
        done = nibble("quantize", "--codec", "q4", "--input", source,
                      "--output", output, "--nan", "zero")
        self.assertIn("2 values that were NaN", done.stdout)
        self.assertIn("nonfinite_zeroed=2", nibble("inspect", output).stdout)
        rows[7, 2] = rows[8, 0] = 0
        self.assertEqual(
            nibble_test.exported(output).tolist(),
            nibble_test.exported(nibble_test.table(rows)).tolist())

    def test_values_beyond_the_scales(self):
        rows = nibble_test.random_rows(3, 4)
        rows[1, 3] = 70000
        source = scratch_path(".npy")
        numpy.save(source, rows)
        output = scratch_path(".nbt")
        line = self.fails("quantize", "--codec", "q4", "--input", source,
                          "--output", output)
        self.assertIn("row 1", line)
        self.assertIn("column 3", line)
        nibble("quantize", "--input", source, "--output", output, "--scales",
               "fp32")
        # What is chosen can hold them.
        nibble("quantize", "--input", source, "--output", output)

    def test_sources_that_are_refused(self):
        self.refuses("/no/such/file", "No such file")
        self.refuses(write(""), "not recognized")
        self.refuses(write("hello"), "not recognized", "--format: npy, npz,")
        self.refuses(self.glove, "a quantized table", "'nibble export'")
        self.refuses(write("a 1 2 3\nb 1 2\n"),
                     "line 2 has 2 values, line 1 has 3")
        self.refuses(write("a 1 2 3\nb 1 x 3\n"),
                     "line 2, field 3: 'x' is not a number")
        fine = "{'descr': '<f4', 'fortran_order': %s, 'shape': %s, }"
        self.refuses(write(npy(fine % ("False", "(3, 4)"), bytes(47))),
                     "says 3 x 4 values of 4 bytes, file has 47")
        self.refuses(write(npy(fine % ("False", "(0, 4)"))), ": no rows")
        self.refuses(write(npy(fine % ("False", "(3, 0)"))), "0 columns")
        self.refuses(write(npy(fine % ("True", "(3, 4)"), bytes(48))),
                     "Fortran order")
        self.refuses(write(npy(fine % ("False", "(48,)"), bytes(192))),
                     "a table needs two, rows and columns")
        self.refuses(write(npy(fine % ("False", "(-3, 4)"), bytes(48))),
                     "expected a length")
        self.refuses(write(npy(fine % ("False", "(%d, 4)" % 2 ** 62))),
                     "file has 0 bytes of data")
        self.refuses(write(npy(fine.replace("<f4", "<i4") %
                               ("False", "(3, 4)"), bytes(48))), "i4")
        self.refuses(write(npy("not a dict", bytes(48))), "expected '{'")

    def test_advice_for_values_beyond(self):
        rows = numpy.full((2, 4), 1e6, dtype=numpy.float32)
        rows[:, 0] = -1e6
        source = scratch_path(".npy")
        numpy.save(source, rows)
        self.refuses(source, "use --scales fp32", options=("--codec", "q4"))
        nibble("quantize", "--codec", "q4", "--scales", "fp32", "--input",
               source, "--output", scratch_path(".nbt"))
        self.refuses(source, "use --codec fp32", options=("--codec", "fp16"))
        nibble("quantize", "--codec", "fp32", "--input", source, "--output",
               scratch_path(".nbt"))

    def test_outputs_that_cannot_be(self):
        for output in ("/no/such/directory/a.nbt", "/proc/a.nbt",
                       os.path.dirname(self.glove)):
            line = self.fails("quantize", "--input", GLOVE, "--output", output)
            self.assertIn(output, line)
        # Told before the rows, which take longer to look at.
        rows = nibble_test.random_rows(10, 4)
        rows[5, 3] = numpy.nan
        source = scratch_path(".npy")
        numpy.save(source, rows)
        for codec in "auto", "q4":
            line = self.fails("quantize", "--codec", codec, "--input", source,
                              "--output", "/no/such/directory/a.nbt")
            self.assertIn("/no/such/directory", line)

    def test_an_output_that_was_there_survives_a_failure(self):
        output = scratch_path(".nbt")
        before = read(self.glove)
        with open(output, "wb") as file:
            file.write(before)
        self.fails("quantize", "--input", write("a 1 2\nb 1\n"), "--output",
                   output)
        self.assertEqual(read(output), before)
        directory = os.path.dirname(output)
        self.assertFalse([n for n in os.listdir(directory) if "tmp" in n])

    # ---- inspect and verify -----------------------------------------------

    def test_size_of_a_table_of_few_rows(self):
        path = nibble_test.table(nibble_test.random_rows(1, 4))
        text = nibble("inspect", path).stdout
        self.assertIn("1 row x 4 values", text)
        self.assertIn("more than 16 bytes of fp32", text)
        self.assertNotIn("%", text)

    def test_inspect(self):
        text = nibble("inspect", self.glove).stdout
        for words in ("2,444 rows x 50 values", "codec    q4, fp16 scales",
                      "search greedy", "29 bytes a row", "stride 29 bytes",
                      "% of fp32 (488,800 bytes)", "normalized l2 loss",
                      "name=glove-6B-50d-head.txt"):
            self.assertIn(words, text)

    def test_inspect_leaves_out_what_there_is_not(self):
        """A search; and the row of a keyed file is not that of the input."""
        source = scratch_path(".txt")
        with open(source, "w") as file:
            file.writelines("w%d %d 1\n" % (i, i) for i in range(20))
        for options, told in (
                (["--codec", "q8"], "gives row 7\n"),
                (["--codec", "q8", "--keys", "text"],
                 " of the file, whose order is not the input's\n")):
            output = scratch_path(".nbt")
            nibble("quantize", "--input", source, "--output", output,
                   "--unseen", "row:7", *options)
            text = nibble("inspect", output).stdout
            self.assertNotIn("search", text)
            self.assertIn(told, text)

    def test_inspect_json(self):
        done = nibble("inspect", self.glove, "--json")
        self.assertEqual(done.stdout.count("\n"), 1)
        report = json.loads(done.stdout)
        self.assertEqual(report["rows"], ROWS)
        self.assertEqual(report["row_bytes"], 29)
        self.assertEqual(report["file_bytes"], os.path.getsize(self.glove))
        self.assertTrue(13 <= report["percent_of_fp32"] <= 17)
        self.assertAlmostEqual(report["percent_of_fp32"],
                               os.path.getsize(self.glove) / ROWS / DIM / .04,
                               places=4)
        self.assertAlmostEqual(report["nl2"], .1050, places=3)
        self.assertEqual(report["metadata"]["source"]["name"],
                         "glove-6B-50d-head.txt")

    def test_verify(self):
        done = nibble("verify", self.glove)
        self.assertIn("whole, 2,444 rows", done.stdout)

    def test_a_flipped_bit_is_found_wherever_it_is(self):
        whole = read(self.glove)
        n = len(whole)
        # In header, padding, rows, metadata and their checksums.
        places = [0, 5, 9, 20, 40, 60, 2000, 4096, 5000, 30000, n - 5, n - 100]
        for place in places:
            with self.subTest(place):
                bytes_ = bytearray(whole)
                bytes_[place] ^= 0x10
                path = write(bytes(bytes_), ".nbt")
                self.assertIn(path, self.fails("verify", path))
                output = scratch_path(".npy")
                self.fails("export", path, "--format", "npy", "--output",
                           output)
                self.assertFalse(os.path.exists(output))

    def test_files_that_are_no_tables(self):
        whole = read(self.glove)
        for path in (write(b""), write(b"NBT"), write(whole[:100]),
                     write(whole[:-1]), write(whole + b"x"),
                     write("word 1 2 3\n" * 1000), GLOVE,
                     scratch_path(".none"), os.path.dirname(self.glove),
                     "/dev/null"):
            for command in ("inspect", "verify"):
                with self.subTest(path=path, command=command):
                    self.assertIn(path, self.fails(command, path))

    def test_the_line_of_an_error_is_one_line(self):
        self.fails("inspect", "/no/such\nfile\x1b[2J")

    # ---- eval -------------------------------------------------------------

    def test_eval(self):
        text = nibble("eval", self.glove, "--against", GLOVE).stdout
        self.assertIn("normalized l2 loss 0.1050", text)
        self.assertEqual(text.count("    row "), 10)
        done = nibble("eval", self.glove, "--against", GLOVE, "--json")
        self.assertEqual(done.stdout.count("\n"), 1)
        report = json.loads(done.stdout)
        with open(GLOVE) as lines:
            x = numpy.array([line.split(" ")[1:] for line in lines],
                            dtype=numpy.float32).astype(float)
        y = nibble_test.exported(self.glove).astype(float)
        nl2 = numpy.sqrt(((x - y) ** 2).sum() / (x ** 2).sum())
        self.assertAlmostEqual(report["nl2"], nl2, places=7)
        self.assertAlmostEqual(report["mse"], ((x - y) ** 2).mean(), places=9)
        self.assertAlmostEqual(report["max_abs_error"], abs(x - y).max(),
                               places=7)
        cosine = (x * y).sum(1) / numpy.sqrt((x ** 2).sum(1) * (y ** 2).sum(1))
        self.assertAlmostEqual(report["cosine_mean"], cosine.mean(), places=7)
        worst = numpy.sqrt(((x - y) ** 2).sum(1) / (x ** 2).sum(1))
        order = numpy.argsort(-worst, kind="stable")[:10]
        self.assertEqual([row["row"] for row in report["worst_rows"]],
                         order.tolist())

    def test_eval_against_another_source(self):
        self.assertIn("50", self.fails("eval", self.glove, "--against",
                                       write("a 1 2 3\nb 1 2 3\n")))
        with open(GLOVE) as lines:
            fewer = "".join(list(lines)[:-1])
        self.assertIn("2444", self.fails(
            "eval", self.glove, "--against", write(fewer)).replace(",", ""))
        self.fails("eval", self.glove, "--against", "/no/such/file")

    # ---- export -----------------------------------------------------------

    def test_eval_against_another_dim(self):
        other = scratch_path(".npy")
        numpy.save(other, nibble_test.random_rows(5, 4))
        self.assertIn("%s has dim 50, %s has dim 4" % (self.glove, other),
                      self.fails("eval", self.glove, "--against", other))

    def test_export(self):
        output = scratch_path(".npy")
        done = nibble("export", self.glove, "--format", "npy", "--output",
                      output)
        self.assertIn("2,444 rows x 50 values", done.stdout)
        rows = numpy.load(output)
        self.assertEqual(rows.shape, (ROWS, DIM))
        self.assertEqual(rows.dtype, numpy.float32)
        self.assertIn("/no/such/dir", self.fails(
            "export", self.glove, "--format", "npy", "--output",
            "/no/such/dir/a.npy"))

    def test_export_does_not_replace_the_table(self):
        table = write(read(self.glove), ".nbt")
        alias = scratch_path(".nbt")
        os.symlink(table, alias)
        for output in table, alias:
            self.assertIn("is the table itself", self.fails(
                "export", table, "--format", "npy", "--output", output))
        self.assertEqual(read(table), read(self.glove))

    def test_killed_quantize_leaves_nothing(self):
        source = scratch_path(".npy")
        numpy.lib.format.open_memmap(source, "w+", "<f4", (40000000, 16))
        directory = tempfile.mkdtemp(dir=os.path.dirname(source))
        build = subprocess.Popen(
            [nibble_test.NIBBLE, "quantize", "--codec", "q4", "--input", source,
             "--output", os.path.join(directory, "t.nbt")],
            stdout=subprocess.DEVNULL)
        try:
            def writes():
                self.assertIsNone(build.poll(), "it ended by itself")
                fds = "/proc/%d/fd" % build.pid
                for fd in os.listdir(fds):
                    with contextlib.suppress(FileNotFoundError):  # closed
                        link = os.readlink(os.path.join(fds, fd))
                        if link.startswith(directory + "/"):
                            return True
                return False
            nibble_test.wait_for(writes, "a file in the directory")
        finally:
            build.kill()
            build.wait()
            os.remove(source)
        self.assertEqual(os.listdir(directory), [])

    def test_export_for_fbgemm(self):
        output = scratch_path(".npy")
        nibble("export", self.glove, "--format", "fbgemm", "--output", output)
        stored = numpy.load(output)
        self.assertEqual(stored.dtype, numpy.uint8)
        self.assertEqual(stored.shape, (ROWS, 29))
        codes = numpy.stack([stored[:, :25] & 15, stored[:, :25] >> 4], 2)
        scale, bias = stored[:, 25:].copy().view("<f2").T.astype("f4")
        rows = (codes.reshape(ROWS, DIM) * scale[:, None].astype(float) +
                bias[:, None]).astype("f4")
        self.assertEqual(rows.tolist(),
                         nibble_test.exported(self.glove).tolist())
        wide = nibble_test.table(nibble_test.random_rows(3, 4), "--scales",
                                 "fp32")
        self.assertIn("fp16", self.fails("export", wide, "--format", "fbgemm",
                                         "--output", scratch_path(".npy")))

    def test_file_size_limit(self):
        output = scratch_path(".nbt")
        line = self.fails("quantize", "--codec", "q4", "--input", GLOVE,
                          "--output", output,
                          limit=(resource.RLIMIT_FSIZE, 16384))
        self.assertIn("File too large", line)
        self.assertFalse(os.path.exists(output))


if __name__ == "__main__":
    nibble_test.main()
