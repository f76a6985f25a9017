// Lint rules: typescript-eslint's strict, type-checked set, less what fights numerical code.
import { defineConfig } from 'eslint/config';
import tseslint from 'typescript-eslint';

export default defineConfig(
  // AssemblyScript is another language in TypeScript's clothes.
  { ignores: ['assembly/', 'build/', 'dist/', 'reports/', 'coverage/'] },
  tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        project: ['./tsconfig.test.json', './tsconfig.apps.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/no-import-type-side-effects': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      eqeqeq: 'error',
      'no-console': 'off',
      // Every index is `T | undefined` to the compiler; the loop's bounds know better.
      '@typescript-eslint/no-non-null-assertion': 'off',
      // Numbers go into messages by the hundred.
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/restrict-plus-operands': ['error', { allowNumberAndString: true }],
      // `(x) => list.push(x)` says all there is to say.
      '@typescript-eslint/no-confusing-void-expression': 'off',
      // Borders check what a caller without types may pass, and module state changes behind the compiler's back.
      '@typescript-eslint/no-unnecessary-condition': 'off',
      // It calls the `!` of a checked index unnecessary where the compiler demands it.
      '@typescript-eslint/no-unnecessary-type-assertion': 'off',
      // Signatures of kernels are spread into letters; all are ASCII.
      '@typescript-eslint/no-misused-spread': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  {
    files: ['test/**'],
    rules: {
      // Golden files are JSON, and expect.closeTo is `any`.
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      // Wrong arguments are what some tests are about.
      '@typescript-eslint/no-unsafe-class-instance-assignment': 'off',
    },
  },
);
