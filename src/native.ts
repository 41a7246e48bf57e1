/** Face of the Node-API addon in native/. Types only are fixed here; loading is lazy, so that all else works without it. */
export {}
