import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The browser sees one origin, so CORS is not involved. The proxy keeps the Host header: Poort makes its URLs from it.
const proxy = { "/api": { target: process.env.POORT ?? "http://127.0.0.1:8000", changeOrigin: false } };

export default defineConfig({
  plugins: [react()],
  server: { host: "127.0.0.1", proxy },
  preview: { host: "127.0.0.1", proxy },
});
