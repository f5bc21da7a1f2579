"use strict";
// Directus imports isolated-vm when it starts, but uses it only for the Flows operation "Run Script".
class Stubbed {}
class Isolate {
  constructor() {
    throw new Error("isolated-vm is a stub here: Run Script does not work on this test server");
  }
}
module.exports = {
  Isolate,
  Reference: Stubbed,
  ExternalCopy: Stubbed,
  Callback: Stubbed,
  Script: Stubbed,
  Module: Stubbed,
  Context: Stubbed,
};
