// Runs src/*.test.jsx in a browser's stead: POORT_SERVERS says which servers they talk to.
import { defineConfig } from "vitest/config";

export default defineConfig({
  oxc: { jsx: { runtime: "automatic" } },
  test: {
    environment: "jsdom",
    environmentOptions: { jsdom: { url: "http://localhost/" } },
    include: ["src/*.test.jsx"],
    testTimeout: 120_000, // on a busy machine a page of React takes half a minute
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
