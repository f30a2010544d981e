-- Rows of every noun. `seq` is the order of creation and is never given twice, also after the newest row is gone.
CREATE TABLE rows (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT    NOT NULL,
    id       BLOB    NOT NULL,
    project  BLOB,
    parent   BLOB,
    revision INTEGER NOT NULL,
    doc      TEXT    NOT NULL,
    UNIQUE (kind, id)
) STRICT;
CREATE INDEX rows_by_kind    ON rows (kind, seq);
CREATE INDEX rows_by_project ON rows (kind, project, seq);
CREATE INDEX rows_by_parent  ON rows (kind, parent, seq);

-- Unique names. One space may hold names of several kinds.
CREATE TABLE names (
    space TEXT NOT NULL,
    name  TEXT NOT NULL,
    kind  TEXT NOT NULL,
    id    BLOB NOT NULL,
    PRIMARY KEY (space, name),
    FOREIGN KEY (kind, id) REFERENCES rows (kind, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX names_by_row ON names (kind, id);

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('generation', 0);
