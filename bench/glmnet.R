# R's glmnet on a packed folder, for peer_process.py; see there for what goes in and comes out.
# Rscript glmnet.R FOLDER squared|logistic INTERCEPT L1_RATIO TOL FOLDS REPEAT KEEP LAMBDAS OUT
# The last KEEP λ are written; each repeat prints CPU seconds, wall seconds and bytes of memory, and the chosen λ.
suppressMessages({library(Matrix); library(glmnet)})
args <- commandArgs(TRUE)
folder <- args[1]; logistic <- args[2] == "logistic"; intercept <- args[3] == "1"; l1_ratio <- as.numeric(args[4])
tol <- as.numeric(args[5]); folds <- as.integer(args[6]); times <- as.integer(args[7]); keep <- as.integer(args[8])

items <- function(path, what, size) readBin(path, what, file.size(path) / size, size = size, endian = "little")
packed <- function(name, what, size) items(file.path(folder, name), what, size)
y <- packed("y.f64", "numeric", 8)
offsets <- packed("offsets.u64", "integer", 8)
values <- if (file.exists(file.path(folder, "values.f32"))) packed("values.f32", "numeric", 4) else packed("values.f64", "numeric", 8)
n <- length(y); p <- length(offsets) - 1
if (length(values) == n * p) {
  x <- matrix(values, n, p)
} else {
  x <- new("dgCMatrix", x = values, i = packed("rows.u32", "integer", 4), p = offsets, Dim = c(n, as.integer(p)))
}
lambdas <- items(args[9], "numeric", 8)

# glmnet divides y by its deviation and so weighs the ridge part differently; these two undo it.
unit <- if (logistic) 1 else if (intercept) sqrt(mean((y - mean(y))^2)) else sqrt(mean(y^2))
stretch <- l1_ratio + unit * (1 - l1_ratio)
settings <- list(x = x, y = if (logistic) factor(y > 0) else y, family = if (logistic) "binomial" else "gaussian",
                 alpha = l1_ratio / stretch, lambda = lambdas * stretch, standardize = FALSE, intercept = intercept,
                 thresh = tol, maxit = 1e7)

kib <- function(name) as.numeric(gsub("[^0-9]", "", grep(name, readLines("/proc/self/status"), value = TRUE)))
for (time in seq_len(times)) {
  invisible(gc())
  cat("5", file = "/proc/self/clear_refs")
  before <- kib("^VmRSS:")
  start <- proc.time()
  if (folds > 0) {
    cv <- do.call(cv.glmnet, c(settings, list(foldid = (seq_len(n) - 1) %% folds + 1)))
    fit <- cv$glmnet.fit
  } else {
    fit <- do.call(glmnet, settings)
  }
  took <- proc.time() - start
  chosen <- if (folds > 0) which.min(cv$cvm) - 1 else -1
  cat("run", took[["user.self"]] + took[["sys.self"]], took[["elapsed"]], (kib("^VmHWM:") - before) * 1024, chosen, "\n")
}

out <- file(args[10], "wb")
last <- length(fit$lambda)
for (k in seq(to = last, length.out = min(keep, last))) {
  w <- fit$beta[, k]
  at <- which(w != 0)
  writeBin(as.numeric(c(fit$a0[k], length(at), at - 1, w[at])), out, endian = "little")
}
close(out)
