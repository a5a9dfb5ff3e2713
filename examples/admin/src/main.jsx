import { HydraAdmin, fetchHydra, hydraDataProvider } from "@api-platform/admin";
import { parseHydraDocumentation } from "@api-platform/api-doc-parser";
import { useMemo, useState } from "react";
import { createRoot } from "react-dom/client";
import { SignIn } from "./SignIn.jsx";
import { bearer, signOut } from "./session.js";

const entrypoint = `${window.location.origin}/api`;

const dataProvider = hydraDataProvider({
  entrypoint,
  httpClient: (url, options = {}) => fetchHydra(url, { ...options, headers: bearer() }),
  // It reads a list to learn by what users can be searched, which needs the token, too.
  apiDocumentationParser: (url) => parseHydraDocumentation(url, { headers: bearer() }),
  mercure: false, // Poort sends no events
});

const authProviderFor = (leave) => ({
  login: async () => {},
  logout: async () => {
    leave();
    await signOut();
  },
  checkAuth: async () => {},
  // A 403 is no reason to sign in again.
  checkError: async ({ status }) => {
    if (status === 401) leave();
  },
  getPermissions: async () => {},
});

// HydraAdmin reads the documents and a list while it starts, so it starts with a token.
function App() {
  const [isSignedIn, setSignedIn] = useState(false);
  const authProvider = useMemo(() => authProviderFor(() => setSignedIn(false)), []);
  if (!isSignedIn) return <SignIn done={() => setSignedIn(true)} />;
  return <HydraAdmin entrypoint={entrypoint} dataProvider={dataProvider} authProvider={authProvider} disableTelemetry />;
}

createRoot(document.getElementById("root")).render(<App />);
