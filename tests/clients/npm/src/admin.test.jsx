// All tests of API Platform Admin on each server, in one file: importing it takes longer than its tests.
import { describe } from "vitest";
import { testDataProvider } from "./dataProvider.jsx";
import { testHydraAdmin } from "./HydraAdmin.jsx";
import { servers } from "./server.mjs";

describe.each(servers)("Chamilo $version", (server) => {
  describe("dataProvider", () => testDataProvider(server));
  describe("HydraAdmin", () => testHydraAdmin(server));
});
