-- The trace of the request that submitted the job, as W3C Trace Context writes it.
ALTER TABLE jobs ADD COLUMN traceparent TEXT COLLATE "C";
