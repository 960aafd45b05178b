-- Names that point at a version of a model, and each of their moves.

-- One without a version was deleted; its row stays, so that the number of its moves never begins again.
CREATE TABLE aliases (
    project    TEXT NOT NULL,
    model      TEXT NOT NULL,
    name       TEXT NOT NULL,
    version    INTEGER,
    moves      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    moved_at   INTEGER NOT NULL,
    moved_by   TEXT,
    PRIMARY KEY (project, model, name),
    FOREIGN KEY (project, model, version) REFERENCES models (project, name, version)
) STRICT;

CREATE INDEX aliases_of_version ON aliases (project, model, version) WHERE version IS NOT NULL;

CREATE TABLE alias_moves (
    project  TEXT NOT NULL,
    model    TEXT NOT NULL,
    alias    TEXT NOT NULL,
    number   INTEGER NOT NULL,
    version  INTEGER,
    previous INTEGER,
    moved_at INTEGER NOT NULL,
    moved_by TEXT,
    PRIMARY KEY (project, model, alias, number)
) STRICT;
