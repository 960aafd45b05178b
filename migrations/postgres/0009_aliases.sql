-- Names that point at a version of a model, and each of their moves.

-- One without a version was deleted; its row stays, so that the number of its moves never begins again.
CREATE TABLE aliases (
    project    TEXT COLLATE "C" NOT NULL,
    model      TEXT COLLATE "C" NOT NULL,
    name       TEXT COLLATE "C" NOT NULL,
    version    BIGINT,
    moves      BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    moved_at   BIGINT NOT NULL,
    moved_by   TEXT COLLATE "C",
    PRIMARY KEY (project, model, name),
    FOREIGN KEY (project, model, version) REFERENCES models (project, name, version)
);

CREATE INDEX aliases_of_version ON aliases (project, model, version) WHERE version IS NOT NULL;

CREATE TABLE alias_moves (
    project  TEXT COLLATE "C" NOT NULL,
    model    TEXT COLLATE "C" NOT NULL,
    alias    TEXT COLLATE "C" NOT NULL,
    number   BIGINT NOT NULL,
    version  BIGINT,
    previous BIGINT,
    moved_at BIGINT NOT NULL,
    moved_by TEXT COLLATE "C",
    PRIMARY KEY (project, model, alias, number)
);
