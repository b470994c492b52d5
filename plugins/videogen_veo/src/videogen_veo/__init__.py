"""Google's video models for videogen: Veo on Vertex AI, Gemini Omni on the Gemini API and on Vertex AI."""
