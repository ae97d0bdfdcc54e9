"""Leave a note where there is an output for it."""

from pathlib import Path

note = Path("/opt/ml/processing/output/note")
if note.is_dir():
    (note / "done.txt").write_text("done")
