# Fit lme4's and nlme's models to every table: Rscript fit.R tables.csv values.csv
# Made with R 4.2.2, lme4 1.1-31 and nlme 3.1-162 (Debian 12: apt-get install r-cran-lme4).
suppressPackageStartupMessages(library(lme4))
files <- commandArgs(trailingOnly = TRUE)
everything <- read.csv(files[1], stringsAsFactors = TRUE)
formulas <- list(
  "distance" = difference ~ distance,
  "distance+target" = difference ~ distance + target,
  "distance+script+baseline+target" = difference ~ distance + script + baseline + target
)
rows <- list()
for (name in levels(everything$table)) {
  data <- droplevels(everything[everything$table == name, ])
  for (fixed in names(formulas)) {
    fitted <- suppressMessages(lmer(update(formulas[[fixed]], . ~ . + (1 | language)), data,
      REML = TRUE, control = lmerControl(optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-14))))
    # nlme's degrees of freedom by containment do not depend on the variances.
    contained <- nlme::lme(formulas[[fixed]], data, random = ~ 1 | language,
      control = nlme::lmeControl(returnObject = TRUE))
    found <- coef(summary(fitted))
    variances <- as.data.frame(VarCorr(fitted))$vcov
    rows[[length(rows) + 1]] <- data.frame(
      table = name, fixed = fixed, term = rownames(found),
      estimate = found[, "Estimate"], standard_error = found[, "Std. Error"],
      df = contained$fixDF$X[rownames(found)],
      random = variances[1], residual = variances[2], singular = isSingular(fitted))
  }
}
values <- do.call(rbind, rows)
numbers <- sapply(values, is.numeric)
values[numbers] <- signif(values[numbers], 8)
write.csv(values, files[2], row.names = FALSE, quote = TRUE, eol = "\n")
